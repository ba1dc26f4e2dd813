// Command pq runs the checks through lib/pq, which means database/sql.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lib/pq"

	. "sluice/test/drivers/report"
)

var ctx = context.Background()

// with runs a check on one connection of its own; settings are lib/pq's, beyond those of the environment.
func with(settings string, run func(db *sql.DB)) func() {
	return func() {
		db := Value(sql.Open("postgres", settings))
		db.SetMaxOpenConns(1)
		defer db.Close()
		run(db)
	}
}

// code is the SQLSTATE of an error there must be.
func code(err error) string {
	var refused *pq.Error
	if !errors.As(err, &refused) {
		panic(fmt.Errorf("not an error of the server: %v", err))
	}
	return string(refused.Code)
}

type runner interface {
	Exec(query string, args ...any) (sql.Result, error)
	QueryRow(query string, args ...any) *sql.Row
}

func scan[T any](db runner, query string, args ...any) T {
	var value T
	Must(db.QueryRow(query, args...).Scan(&value))
	return value
}

func exec(db runner, query string, args ...any) {
	Value(db.Exec(query, args...))
}

func fails(db runner, query string, args ...any) string {
	_, err := db.Exec(query, args...)
	return code(err)
}

func connect(db *sql.DB) {
	Equal(scan[int](db, "SELECT 1"), 1)
	wrong := Value(sql.Open("postgres", "password='wrong "+os.Getenv("PGPASSWORD")+"'"))
	defer wrong.Close()
	Equal(code(wrong.Ping()), "28P01")
}

func same[T any](db *sql.DB, name string, value T) {
	Equal(scan[T](db, "SELECT $1::"+name, value), value)
}

func types(*sql.DB) {
	for _, settings := range []string{"", "binary_parameters=yes"} {
		with(settings, func(db *sql.DB) {
			same(db, "int2", int64(-32768))
			same(db, "int4", int64(2147483647))
			same(db, "int8", int64(-9223372036854775808))
			same(db, "float8", 1.7976931348623157e308)
			same(db, "numeric", "-12345678901234567890.0123456789")
			same(db, "bool", true)
			same(db, "text", "häß 漢字 🐘 'quoted' \\ \n")
			same(db, "bytea", []byte{0, 1, 127, 128, 255, '\\', '\''})
			same(db, "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
			same(db, "jsonb", `{"a": [1, null, "ü"]}`)
			same(db, "text", sql.NullString{})
			moment := time.Date(2026, 11, 23, 12, 0, 0, 1000, time.UTC)
			Equal(scan[time.Time](db, "SELECT $1::timestamptz", moment).Equal(moment), true)
			var numbers []int64
			Must(db.QueryRow("SELECT $1::int4[]", pq.Array([]int64{1, 2, -3})).Scan(pq.Array(&numbers)))
			Equal(numbers, []int64{1, 2, -3})
		})()
	}
}

func simple(db *sql.DB) {
	rows := Value(db.Query("SELECT 'x;y'; SELECT 'b'"))
	var texts []string
	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() {
			var text string
			Must(rows.Scan(&text))
			texts = append(texts, text)
		}
	}
	Must(rows.Err())
	Equal(texts, []string{"x;y", "b"})
	exec(db, "CREATE TEMP TABLE plain (id int); INSERT INTO plain VALUES (1), (2)")
	Equal(fails(db, "INSERT INTO plain VALUES (3); SELECT 1 / 0"), "22012")
	Equal(scan[int](db, "SELECT count(*) FROM plain"), 2)
}

func prepared(db *sql.DB) {
	statement := Value(db.Prepare("SELECT $1::int8 * 2"))
	for n := range int64(20) {
		var double int64
		Must(statement.QueryRow(n).Scan(&double))
		Equal(double, n*2)
	}
	Must(statement.Close())
	Equal(scan[int](db, "SELECT count(*) FROM pg_prepared_statements"), 0)
}

func errorCodes(db *sql.DB) {
	Equal(fails(db, "SELEC 1"), "42601")
	Equal(fails(db, "SELEC $1", 1), "42601")
	exec(db, "CREATE TEMP TABLE uniq (id int PRIMARY KEY)")
	exec(db, "INSERT INTO uniq VALUES (1)")
	Equal(fails(db, "INSERT INTO uniq VALUES ($1)", 1), "23505")
	Equal(scan[int](db, "SELECT count(*) FROM uniq"), 1)
}

func transactions(db *sql.DB) {
	exec(db, "CREATE TEMP TABLE kept (id int)")
	tx := Value(db.Begin())
	exec(tx, "INSERT INTO kept VALUES (1)")
	exec(tx, "SAVEPOINT s")
	exec(tx, "INSERT INTO kept VALUES (2)")
	exec(tx, "ROLLBACK TO s")
	exec(tx, "INSERT INTO kept VALUES ($1)", 3)
	Must(tx.Commit())
	tx = Value(db.Begin())
	exec(tx, "INSERT INTO kept VALUES (4)")
	Must(tx.Rollback())
	Equal(scan[string](db, "SELECT string_agg(id::text, ',' ORDER BY id) FROM kept"), "1,3")
}

// lib/pq has no row limit: the cursor is SQL's.
func portal(db *sql.DB) {
	tx := Value(db.Begin())
	exec(tx, "DECLARE portions CURSOR FOR SELECT generate_series(1, 50)")
	var all []int
	for before := -1; before < len(all); {
		before = len(all)
		rows := Value(tx.Query("FETCH 7 FROM portions"))
		for rows.Next() {
			var n int
			Must(rows.Scan(&n))
			all = append(all, n)
		}
		Must(rows.Err())
	}
	Equal(len(all), 50)
	Equal(all[49], 50)
	Must(tx.Commit())
}

// lib/pq copies in only.
func copying(db *sql.DB) {
	exec(db, "CREATE TEMP TABLE copied (id int4, note text, data bytea)")
	load := func(rows [][]any) error {
		tx := Value(db.Begin())
		defer tx.Rollback()
		statement := Value(tx.Prepare(pq.CopyIn("copied", "id", "note", "data")))
		for _, row := range rows {
			Value(statement.Exec(row...))
		}
		if _, err := statement.Exec(); err != nil {
			return err
		}
		Must(statement.Close())
		return tx.Commit()
	}
	Must(load([][]any{{1, "tab\there", nil}, {2, "line\nbreak", []byte{0, 255}}, {3, "\\.", []byte{}}}))
	Equal(code(load([][]any{{"not a number", nil, nil}})), "22P02")
	Equal(scan[string](db, "SELECT string_agg(note, '|' ORDER BY id) FROM copied"), "tab\there|line\nbreak|\\.")
	Equal(scan[[]byte](db, "SELECT data FROM copied WHERE id = 2"), []byte{0, 255})
}

func cancel(db *sql.DB) {
	waiting, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	defer stop()
	_, err := db.ExecContext(waiting, "SELECT pg_sleep(30)")
	Equal(code(err), "57014")
	// lib/pq gives up the connection it cancelled on; database/sql opens the next.
	Equal(scan[int](db, "SELECT 1"), 1)
}

func notify(db *sql.DB) {
	channel := fmt.Sprintf("pq_%d", os.Getpid())
	listener := pq.NewListener("", time.Second, time.Minute, nil)
	defer listener.Close()
	Must(listener.Listen(channel))
	exec(db, "SELECT pg_notify($1, $2)", channel, "from the other")
	select {
	case notification := <-listener.Notify:
		Equal(notification.Extra, "from the other")
	case <-time.After(10 * time.Second):
		panic("no notification after 10 s")
	}
}

func refusal(db *sql.DB) {
	NeedsRules()
	Equal(fails(db, "DELETE FROM refused_table"), "42501")
	_, err := db.Prepare("DELETE FROM refused_table")
	Equal(code(err), "42501")
	Equal(scan[int](db, "SELECT count(*) FROM refused_table"), 3)
}

func refusalInTransaction(db *sql.DB) {
	NeedsRules()
	exec(db, "CREATE TEMP TABLE undone (id int)")
	tx := Value(db.Begin())
	exec(tx, "INSERT INTO undone VALUES ($1)", 1)
	Equal(fails(tx, "DELETE FROM refused_table"), "42501")
	Equal(fails(tx, "SELECT 1"), "25P02")
	if tx.Commit() == nil {
		panic("a failed transaction has committed")
	}
	Equal(scan[int](db, "SELECT count(*) FROM undone"), 0)
}

func main() {
	Run([]Check{
		{"connect", with("", connect)},
		{"types", with("", types)},
		{"simple", with("", simple)},
		{"prepared", with("", prepared)},
		{"errors", with("", errorCodes)},
		{"transactions", with("", transactions)},
		{"portal", with("", portal)},
		{"copy", with("", copying)},
		{"cancel", with("", cancel)},
		{"notify", with("", notify)},
		{"refusal", with("", refusal)},
		{"refusal-in-transaction", with("", refusalInTransaction)},
	})
}
