package logbook

import (
	"context"
	"log/slog"

	"github.com/musterhq/muster/internal/clock"
)

// Handler returns a handler that writes records from level on into the book, as
// JSON, and passes them to also, which may be nil.
func (b *Book) Handler(level slog.Leveler, also slog.Handler) slog.Handler {
	if also == nil {
		also = slog.DiscardHandler
	}
	return &tee{level: level, book: slog.NewJSONHandler(b, &slog.HandlerOptions{Level: level, ReplaceAttr: clock.WithUnits}), also: also}
}

type tee struct {
	level      slog.Leveler
	book, also slog.Handler
}

func (t *tee) Enabled(_ context.Context, l slog.Level) bool { return l >= t.level.Level() }

func (t *tee) Handle(ctx context.Context, r slog.Record) error {
	err := t.book.Handle(ctx, r.Clone())
	if t.also.Enabled(ctx, r.Level) {
		// What reached the book is logged; that standard error is gone, say, is
		// nothing that the caller could act on.
		_ = t.also.Handle(ctx, r)
	}
	return err
}

func (t *tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &tee{level: t.level, book: t.book.WithAttrs(attrs), also: t.also.WithAttrs(attrs)}
}

func (t *tee) WithGroup(name string) slog.Handler {
	return &tee{level: t.level, book: t.book.WithGroup(name), also: t.also.WithGroup(name)}
}
