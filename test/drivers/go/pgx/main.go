// Command pgx runs the checks through pgx and its pgconn.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	. "sluice/test/drivers/report"
)

var ctx = context.Background()

func open(mode pgx.QueryExecMode) *pgx.Conn {
	config := Value(pgx.ParseConfig(""))
	config.DefaultQueryExecMode = mode
	return Value(pgx.ConnectConfig(ctx, config))
}

// with runs a check on a connection of its own.
func with(run func(db *pgx.Conn)) func() {
	return func() {
		db := open(pgx.QueryExecModeCacheStatement)
		defer db.Close(ctx)
		run(db)
	}
}

// code is the SQLSTATE of an error there must be.
func code(err error) string {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		panic(fmt.Errorf("not an error of the server: %v", err))
	}
	return refused.Code
}

func scan[T any](db *pgx.Conn, sql string, args ...any) T {
	var value T
	Must(db.QueryRow(ctx, sql, args...).Scan(&value))
	return value
}

func exec(db *pgx.Conn, sql string, args ...any) pgconn.CommandTag {
	return Value(db.Exec(ctx, sql, args...))
}

func fails(db *pgx.Conn, sql string, args ...any) string {
	_, err := db.Exec(ctx, sql, args...)
	return code(err)
}

func connect(db *pgx.Conn) {
	Equal(scan[int](db, "SELECT 1"), 1)
	config := Value(pgx.ParseConfig(""))
	config.Password = "wrong " + config.Password
	_, err := pgx.ConnectConfig(ctx, config)
	Equal(code(err), "28P01")
}

func same[T any](db *pgx.Conn, name string, value T) {
	Equal(scan[T](db, "SELECT $1::"+name, value), value)
}

func types(*pgx.Conn) {
	modes := []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	}
	for _, mode := range modes {
		db := open(mode)
		same(db, "int2", int16(-32768))
		same(db, "int4", int32(2147483647))
		same(db, "int8", int64(-9223372036854775808))
		same(db, "float4", float32(0.5))
		same(db, "float8", 1.7976931348623157e308)
		same(db, "bool", true)
		same(db, "text", "häß 漢字 🐘 'quoted' \\ \n")
		same(db, "bytea", []byte{0, 1, 127, 128, 255, '\\', '\''})
		same(db, "int4[]", []int32{1, 2, -3})
		same(db, "text[]", []string{"a", "", "{,}\"'"})
		same[*string](db, "text", nil)
		moment := time.Date(2026, 11, 23, 12, 0, 0, 1000, time.UTC)
		Equal(scan[time.Time](db, "SELECT $1::timestamptz", moment).Equal(moment), true)
		Equal(scan[string](db, "SELECT ($1::numeric)::text", "-12345678901234567890.0123456789"), "-12345678901234567890.0123456789")
		Equal(scan[string](db, "SELECT ($1::uuid)::text", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
		Equal(scan[map[string]any](db, "SELECT $1::jsonb", `{"a": [1.5, null, "ü"]}`), map[string]any{"a": []any{1.5, nil, "ü"}})
		Must(db.Close(ctx))
	}
}

func simple(db *pgx.Conn) {
	results := Value(db.PgConn().Exec(ctx, "SELECT 'x;y'; CREATE TEMP TABLE plain (id int); INSERT INTO plain VALUES (1), (2)").ReadAll())
	Equal(len(results), 3)
	Equal(string(results[0].Rows[0][0]), "x;y")
	Equal(results[2].CommandTag.String(), "INSERT 0 2")
	_, err := db.PgConn().Exec(ctx, "INSERT INTO plain VALUES (3); SELECT 1 / 0").ReadAll()
	Equal(code(err), "22012")
	Equal(scan[int](db, "SELECT count(*) FROM plain"), 2)
}

func prepared(db *pgx.Conn) {
	statement := Value(db.Prepare(ctx, "double", "SELECT $1::int8 * 2"))
	Equal(statement.ParamOIDs, []uint32{20})
	for n := range int64(20) {
		Equal(scan[int64](db, "double", n), n*2)
	}
	Must(db.Deallocate(ctx, "double"))
	Equal(scan[int](db, "SELECT count(*) FROM pg_prepared_statements WHERE name = 'double'"), 0)
}

func errorCodes(db *pgx.Conn) {
	Equal(fails(db, "SELEC 1"), "42601")
	exec(db, "CREATE TEMP TABLE uniq (id int PRIMARY KEY)")
	exec(db, "INSERT INTO uniq VALUES (1)")
	Equal(fails(db, "INSERT INTO uniq VALUES ($1)", 1), "23505")
	Equal(scan[int](db, "SELECT count(*) FROM uniq"), 1)
}

func transactions(db *pgx.Conn) {
	exec(db, "CREATE TEMP TABLE kept (id int)")
	Must(pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		Value(tx.Exec(ctx, "INSERT INTO kept VALUES (1)"))
		savepoint := Value(tx.Begin(ctx))
		Value(savepoint.Exec(ctx, "INSERT INTO kept VALUES (2)"))
		Must(savepoint.Rollback(ctx))
		Value(tx.Exec(ctx, "INSERT INTO kept VALUES (3)"))
		return nil
	}))
	tx := Value(db.Begin(ctx))
	Value(tx.Exec(ctx, "INSERT INTO kept VALUES (4)"))
	Must(tx.Rollback(ctx))
	Equal(scan[[]int32](db, "SELECT array_agg(id ORDER BY id) FROM kept"), []int32{1, 3})
}

func pipeline(db *pgx.Conn) {
	batch := &pgx.Batch{}
	for n := range 50 {
		batch.Queue("SELECT $1::int", n)
	}
	results := db.SendBatch(ctx, batch)
	for n := range 50 {
		var value int
		Must(results.QueryRow().Scan(&value))
		Equal(value, n)
	}
	Must(results.Close())

	// pgconn's pipeline: two Syncs, an error in the first batch leaves the second alone.
	pipe := db.PgConn().StartPipeline(ctx)
	pipe.SendQueryParams("SELECT 1 / $1::int", [][]byte{[]byte("0")}, nil, nil, nil)
	pipe.SendQueryParams("SELECT 'skipped'", nil, nil, nil, nil)
	Must(pipe.Sync())
	pipe.SendQueryParams("SELECT 'second'", nil, nil, nil, nil)
	Must(pipe.Sync())
	_, err := pipe.GetResults()
	Equal(code(err), "22012")
	_, sync := Value(pipe.GetResults()).(*pgconn.PipelineSync)
	Equal(sync, true)
	result := Value(pipe.GetResults()).(*pgconn.ResultReader).Read()
	Equal(string(result.Rows[0][0]), "second")
	Must(pipe.Close())
	Equal(scan[int](db, "SELECT 3"), 3)
}

// pgx has no row limit: the cursor is SQL's.
func portal(db *pgx.Conn) {
	tx := Value(db.Begin(ctx))
	Value(tx.Exec(ctx, "DECLARE portions CURSOR FOR SELECT generate_series(1, 50)"))
	var all []int32
	for {
		rows := Value(tx.Query(ctx, "FETCH 7 FROM portions"))
		portion := Value(pgx.CollectRows(rows, pgx.RowTo[int32]))
		if len(portion) == 0 {
			break
		}
		all = append(all, portion...)
	}
	Equal(len(all), 50)
	Equal(all[49], int32(50))
	Must(tx.Commit(ctx))
}

func copying(db *pgx.Conn) {
	exec(db, "CREATE TEMP TABLE copied (id int4, note text, data bytea)")
	rows := [][]any{{int32(1), "tab\there", nil}, {int32(2), "line\nbreak", []byte{0, 255}}, {int32(3), "\\.", []byte{}}}
	Equal(Value(db.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"id", "note", "data"}, pgx.CopyFromRows(rows))), int64(3))
	var out bytes.Buffer
	Equal(Value(db.PgConn().CopyTo(ctx, &out, "COPY copied TO STDOUT")).String(), "COPY 3")
	Equal(out.String(), "1\ttab\\there\t\\N\n2\tline\\nbreak\t\\\\x00ff\n3\t\\\\.\t\\\\x\n")
	Equal(Value(db.PgConn().CopyFrom(ctx, &out, "COPY copied FROM STDIN")).String(), "COPY 3")
	_, err := db.PgConn().CopyFrom(ctx, strings.NewReader("not a number\t\\N\t\\N\n"), "COPY copied FROM STDIN")
	Equal(code(err), "22P02")
	Equal(scan[int](db, "SELECT count(*) FROM copied"), 6)
}

func cancel(db *pgx.Conn) {
	time.AfterFunc(300*time.Millisecond, func() { Must(db.PgConn().CancelRequest(ctx)) })
	Equal(fails(db, "SELECT pg_sleep(30)"), "57014")
	Equal(scan[int](db, "SELECT 1"), 1)
}

func notify(db *pgx.Conn) {
	channel := fmt.Sprintf("pgx_%d", os.Getpid())
	exec(db, "LISTEN "+channel)
	other := open(pgx.QueryExecModeCacheStatement)
	exec(other, "SELECT pg_notify($1, $2)", channel, "from the other")
	Must(other.Close(ctx))
	waiting, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	Equal(Value(db.WaitForNotification(waiting)).Payload, "from the other")
}

func refusal(db *pgx.Conn) {
	NeedsRules()
	Equal(fails(db, "DELETE FROM refused_table"), "42501")
	_, err := db.Prepare(ctx, "refused", "DELETE FROM refused_table")
	Equal(code(err), "42501")
	_, err = db.PgConn().Exec(ctx, "SELECT 1; DELETE FROM refused_table").ReadAll()
	Equal(code(err), "42501")
	Equal(scan[int](db, "SELECT count(*) FROM refused_table"), 3)
	question := "EXPLAIN (SLUICE) DELETE FROM public.refused_table"
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		var property, value string
		Must(db.QueryRow(ctx, question, mode).Scan(&property, &value))
		Equal(property+" "+value, "verdict deny")
		Must(db.QueryRow(ctx, question+" WHERE id = $1", mode, 1).Scan(&property, &value))
		Equal(property+" "+value, "verdict allow")
	}

	pipe := db.PgConn().StartPipeline(ctx)
	pipe.SendQueryParams("DELETE FROM refused_table", nil, nil, nil, nil)
	pipe.SendQueryParams("SELECT 'skipped'", nil, nil, nil, nil)
	Must(pipe.Sync())
	pipe.SendQueryParams("SELECT 'second'", nil, nil, nil, nil)
	Must(pipe.Sync())
	_, err = pipe.GetResults()
	Equal(code(err), "42501")
	_, sync := Value(pipe.GetResults()).(*pgconn.PipelineSync)
	Equal(sync, true)
	result := Value(pipe.GetResults()).(*pgconn.ResultReader).Read()
	Equal(string(result.Rows[0][0]), "second")
	Must(pipe.Close())
}

func refusalInTransaction(db *pgx.Conn) {
	NeedsRules()
	exec(db, "CREATE TEMP TABLE undone (id int)")
	exec(db, "BEGIN")
	exec(db, "INSERT INTO undone VALUES ($1)", 1)
	Equal(fails(db, "DELETE FROM refused_table"), "42501")
	Equal(db.PgConn().TxStatus(), byte('E'))
	Equal(fails(db, "SELECT 1"), "25P02")
	Equal(exec(db, "COMMIT").String(), "ROLLBACK")
	Equal(scan[int](db, "SELECT count(*) FROM undone"), 0)
}

func main() {
	Run([]Check{
		{"connect", with(connect)},
		{"types", with(types)},
		{"simple", with(simple)},
		{"prepared", with(prepared)},
		{"errors", with(errorCodes)},
		{"transactions", with(transactions)},
		{"pipeline", with(pipeline)},
		{"portal", with(portal)},
		{"copy", with(copying)},
		{"cancel", with(cancel)},
		{"notify", with(notify)},
		{"refusal", with(refusal)},
		{"refusal-in-transaction", with(refusalInTransaction)},
	})
}
