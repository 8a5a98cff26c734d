// Package migrations holds the schema, as the steps that lead to it. The same
// files run on SQLite and on PostgreSQL. A file that was released never
// changes again; every change of the schema is a new file.
package migrations

import "embed"

// Files are the migrations, in the form that goose reads.
//
//go:embed *.sql
var Files embed.FS
