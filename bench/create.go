package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync/atomic"

	"connectrpc.com/connect"
	_ "modernc.org/sqlite" // the bare side

	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
)

// createContests measure a durable CreateRunner, through the API, against
// transactions of one row each into the same database engine, without any API.
func createContests(ctx context.Context, dir string) ([]contest, func(), error) {
	ours, stop, err := start(ctx, roleMuster, dirEnv+"="+filepath.Join(dir, "create"))
	if err != nil {
		return nil, nil, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "bare.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		stop()
		return nil, nil, err
	}
	// One connection is the fastest way to write from many goroutines.
	db.SetMaxOpenConns(1)
	closeAll := func() { stop(); _ = db.Close() }
	if _, err := db.ExecContext(ctx, "CREATE TABLE runners (id INTEGER PRIMARY KEY, name TEXT NOT NULL, body TEXT NOT NULL)"); err != nil {
		closeAll()
		return nil, nil, err
	}
	insert, err := db.PrepareContext(ctx, "INSERT INTO runners (id, name, body) VALUES ($1, $2, $3)")
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	c := gitpodv1connect.NewRunnerServiceClient(newHTTP(false), ours)
	var rows atomic.Int64
	return []contest{{
		"CreateRunner, durable", 0.8,
		func(ctx context.Context) (int64, error) {
			return together(ctx, clients, func(ctx context.Context, _ int) error {
				_, err := c.CreateRunner(withToken(ctx), connect.NewRequest(newRunner()))
				return err
			})
		},
		func(ctx context.Context) (int64, error) {
			return together(ctx, clients, func(ctx context.Context, _ int) error {
				_, err := insert.ExecContext(ctx, rows.Add(1), "a runner to measure", `{"region":"eu-central-1","releaseChannel":1,"autoUpdate":true,"logLevel":2}`)
				return err
			})
		},
	}}, closeAll, nil
}
