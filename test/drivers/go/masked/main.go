// Command masked has pgx decode masked rows, in every way it can ask for them.
package main

import (
	"bytes"
	"context"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	. "sluice/test/drivers/report"
)

var ctx = context.Background()

func decoded(rows pgx.Rows, err error) {
	Must(err)
	defer rows.Close()
	count := 0
	for rows.Next() {
		Value(rows.Values())
		count++
	}
	Must(rows.Err())
	Equal(count, 2)
}

func decode(table string) {
	config := Value(pgx.ParseConfig(""))
	db := Value(pgx.ConnectConfig(ctx, config))
	defer db.Close(ctx)
	query := "SELECT * FROM " + table + " ORDER BY id"
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		decoded(db.Query(ctx, query, mode))
		decoded(db.Query(ctx, "UPDATE "+table+" SET id = id RETURNING *", mode))
	}
	tx := Value(db.Begin(ctx))
	Value(tx.Exec(ctx, "DECLARE portions CURSOR FOR "+query))
	decoded(tx.Query(ctx, "FETCH ALL FROM portions"))
	Must(tx.Commit(ctx))
	var out bytes.Buffer
	Equal(Value(db.PgConn().CopyTo(ctx, &out, "COPY "+table+" TO STDOUT (FORMAT binary)")).String(), "COPY 2")
}

func main() {
	var checks []Check
	for _, table := range strings.Fields(os.Getenv("MASKED_TABLES")) {
		checks = append(checks, Check{table, func() { decode(table) }})
	}
	Run(checks)
}
