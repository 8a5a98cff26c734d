// Package sqlstore keeps everything in a SQL database: SQLite in the data
// directory, or PostgreSQL. It implements the interfaces that the nouns
// declare.
//
// There is one implementation. The queries (package query) and the schema
// (package migrations) are the same for both engines; what differs is how a
// database is opened, how calls are committed and what an error means, and is
// kept in engine. This package knows the nouns' types and nothing of their
// rules.
package sqlstore

import (
	"context"
	"sync"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/lease"
)

// Store is an open database. A read sees every write that was acknowledged
// before it began.
type Store struct {
	reads
	engine engine

	// open is held, shared, by each write, and alone by Close.
	open   sync.RWMutex
	closed bool
}

// Close waits for the writes that are under way, refuses later ones, and closes
// the database. It may be called more than once.
func (s *Store) Close() error {
	s.open.Lock()
	defer s.open.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.engine.close()
}

// Exclusive tells that no other process can have the database open.
func (s *Store) Exclusive() bool { return s.engine.exclusive() }

// Identity returns the store as package identity sees it.
func (s *Store) Identity() identity.Store { return identityStore{s} }

// Fleet returns the store as package fleet sees it.
func (s *Store) Fleet() fleet.Store { return fleetStore{s} }

// Lease returns the store as package lease sees it.
func (s *Store) Lease() lease.Store { return s }

type identityStore struct{ *Store }

func (s identityStore) Write(ctx context.Context, fn func(identity.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

type fleetStore struct{ *Store }

func (s fleetStore) Write(ctx context.Context, fn func(fleet.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

// write is the one way to change the database; see engine.
func (s *Store) write(ctx context.Context, fn func(*Tx) error) error {
	s.open.RLock()
	defer s.open.RUnlock()
	if s.closed {
		return closed()
	}
	return s.engine.write(ctx, fn)
}
