// Command mysql runs the checks through go-sql-driver/mysql.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	. "sluice/test/drivers/report"
)

var ctx = context.Background()

func config() *mysql.Config {
	config := mysql.NewConfig()
	config.Net = "tcp"
	config.Addr = os.Getenv("MYSQL_HOST") + ":" + os.Getenv("MYSQL_TCP_PORT")
	config.User = os.Getenv("MYSQL_USER")
	config.Passwd = os.Getenv("MYSQL_PWD")
	config.DBName = os.Getenv("MYSQL_DATABASE")
	config.ParseTime = true
	if os.Getenv("MYSQL_SSL_MODE") == "verify-full" {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(Value(os.ReadFile(os.Getenv("MYSQL_SSL_CA"))))
		config.TLS = &tls.Config{RootCAs: roots, ServerName: os.Getenv("MYSQL_HOST")}
	}
	return config
}

// open gives one connection, so that statements share a session.
func open(config *mysql.Config) (*sql.Conn, func()) {
	db := sql.OpenDB(Value(mysql.NewConnector(config)))
	conn, err := db.Conn(ctx)
	if err != nil {
		db.Close()
		panic(err)
	}
	return conn, func() { conn.Close(); db.Close() }
}

// with runs a check on a connection of its own.
func with(run func(db *sql.Conn), change ...func(config *mysql.Config)) func() {
	return func() {
		config := config()
		for _, each := range change {
			each(config)
		}
		db, done := open(config)
		defer done()
		run(db)
	}
}

func interpolated(config *mysql.Config) { config.InterpolateParams = true }

// fails asserts the number and SQLSTATE of an error there must be.
func fails(err error, number uint16, state string) {
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) {
		panic(fmt.Errorf("not an error of the server: %v", err))
	}
	Equal([]any{refused.Number, string(refused.SQLState[:])}, []any{number, state})
}

func scan[T any](db *sql.Conn, text string, args ...any) T {
	var value T
	Must(db.QueryRowContext(ctx, text, args...).Scan(&value))
	return value
}

func exec(db *sql.Conn, text string, args ...any) sql.Result {
	return Value(db.ExecContext(ctx, text, args...))
}

func failure(db *sql.Conn, text string, args ...any) error {
	_, err := db.ExecContext(ctx, text, args...)
	return err
}

func connect(db *sql.Conn) {
	Equal(scan[int](db, "SELECT 1"), 1)
	// Where the server caches, the second login takes another way than the first.
	with(func(again *sql.Conn) { Must(again.PingContext(ctx)) })()
	wrong := config()
	wrong.Passwd = "wrong " + wrong.Passwd
	pool := sql.OpenDB(Value(mysql.NewConnector(wrong)))
	defer pool.Close()
	fails(pool.PingContext(ctx), 1045, "28000")
}

const columns = "tiny, small, medium, big, unsigned_big, single, twice, exact, bits, year, day, time, moment, stamp, " +
	"fixed, text, bytes, choice, several"

func types(db *sql.Conn) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	expected := []any{
		int8(-128), int16(-32768), int32(-8388608), int64(-9223372036854775808), uint64(18446744073709551615),
		float32(0.5), 1.5e308, "-12345678901234567890.01234567890123456789", []byte{2, 1}, int16(2155),
		time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC), "12:34:56.789012",
		time.Date(1999, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC),
		"fixed", "häß 漢字 🐘 'quoted' \\ \n", every, "b", "x,z",
	}
	read := func(id int, args ...any) ([]any, string) {
		where := "?"
		if len(args) == 0 {
			where = fmt.Sprint(id)
		}
		var (
			tiny                           int8
			small, year                    int16
			medium                         int32
			big                            int64
			unsignedBig                    uint64
			single                         float32
			twice                          float64
			exact, at, fixed, text, choice string
			several, document              string
			bits, raw                      []byte
			day, moment, stamp             time.Time
		)
		row := db.QueryRowContext(ctx, "SELECT "+columns+", document FROM typed WHERE id = "+where, args...)
		Must(row.Scan(&tiny, &small, &medium, &big, &unsignedBig, &single, &twice, &exact, &bits, &year, &day, &at,
			&moment, &stamp, &fixed, &text, &raw, &choice, &several, &document))
		return []any{tiny, small, medium, big, unsignedBig, single, twice, exact, bits, year, day, at, moment, stamp,
			fixed, text, raw, choice, several}, document
	}
	exec(db, "SET time_zone = '+00:00'")
	exec(db, "CREATE TEMPORARY TABLE written LIKE typed")
	for way, args := range [][]any{nil, {1}} {
		// Without arguments by COM_QUERY, with them by COM_STMT_EXECUTE.
		row, document := read(1, args...)
		Equal(row, expected)
		var value map[string][]any
		Must(json.Unmarshal([]byte(document), &value))
		Equal(value, map[string][]any{"a": {1.0, nil, "ü"}})
		if way == 1 {
			args = []any{2}
		}
		row, _ = read(2, args...)
		Equal([]any{row[3], row[11], row[15]}, []any{int64(9223372036854775807), "-838:59:58.000001", ""})
	}
	for _, args := range [][]any{nil, {3}} {
		text := "SELECT big, exact, day, time, text, bytes FROM typed WHERE id = 3"
		if args != nil {
			text = strings.Replace(text, "3", "?", 1)
		}
		var big sql.NullInt64
		var exact, at, words sql.NullString
		var day sql.NullTime
		var raw []byte
		Must(db.QueryRowContext(ctx, text, args...).Scan(&big, &exact, &day, &at, &words, &raw))
		Equal([]bool{big.Valid, exact.Valid, day.Valid, at.Valid, words.Valid, raw == nil},
			[]bool{false, false, false, false, false, true})
	}
	into := "INSERT INTO written (id, " + columns + ") VALUES (1" + strings.Repeat(", ?", len(expected)) + ")"
	var same []string
	for _, column := range strings.Split(columns, ", ") {
		same = append(same, "a."+column+" <=> b."+column)
	}
	count := "SELECT COUNT(*) FROM typed a JOIN written b ON " + strings.Join(same, " AND ") + " WHERE a.id = 1"
	exec(db, into, expected...)
	Equal(scan[int](db, count), 1)
	with(func(db *sql.Conn) {
		exec(db, "SET time_zone = '+00:00'")
		exec(db, "CREATE TEMPORARY TABLE written LIKE typed")
		exec(db, into, expected...)
		Equal(scan[int](db, count), 1)
	}, interpolated)()
}

func simple(db *sql.Conn) {
	Equal(scan[string](db, "SELECT 'x;y' -- a comment"), "x;y")
	exec(db, "CREATE TEMPORARY TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY, n INT)")
	result := exec(db, "INSERT INTO counted (n) VALUES (1), (2), (3)")
	Equal([]int64{Value(result.RowsAffected()), Value(result.LastInsertId())}, []int64{3, 1})
	rows := Value(db.QueryContext(ctx, "SELECT n AS a, NULL AS b FROM counted"))
	Equal(Value(rows.Columns()), []string{"a", "b"})
	rows.Close()
	fails(failure(db, ""), 1065, "42000")
}

func prepared(db *sql.Conn) {
	statement := Value(db.PrepareContext(ctx, "SELECT ? * 2, ?"))
	defer statement.Close()
	for n := range 20 {
		var double float64
		var text string
		Must(statement.QueryRowContext(ctx, n, fmt.Sprint("text ", n)).Scan(&double, &text))
		Equal([]any{double, text}, []any{float64(n * 2), fmt.Sprint("text ", n)})
	}
	_, err := db.PrepareContext(ctx, "SELEC ?")
	fails(err, 1064, "42000")
}

func errorCodes(db *sql.Conn) {
	fails(failure(db, "SELEC 1"), 1064, "42000")
	fails(failure(db, "SELECT * FROM nowhere WHERE id = ?", 1), 1146, "42S02")
	exec(db, "CREATE TEMPORARY TABLE uniq (id INT PRIMARY KEY)")
	exec(db, "INSERT INTO uniq VALUES (1)")
	fails(failure(db, "INSERT INTO uniq VALUES (1)"), 1062, "23000")
	fails(failure(db, "INSERT INTO uniq VALUES (?)", 1), 1062, "23000")
	Equal(scan[int](db, "SELECT COUNT(*) FROM uniq"), 1)
}

func transactions(db *sql.Conn) {
	exec(db, "CREATE TEMPORARY TABLE kept (id INT) ENGINE = InnoDB")
	transaction := Value(db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable}))
	Value(transaction.Exec("INSERT INTO kept VALUES (1)"))
	Value(transaction.Exec("SAVEPOINT s"))
	Value(transaction.Exec("INSERT INTO kept VALUES (2)"))
	Value(transaction.Exec("ROLLBACK TO s"))
	Value(transaction.Exec("INSERT INTO kept VALUES (?)", 3))
	Must(transaction.Commit())
	transaction = Value(db.BeginTx(ctx, nil))
	Value(transaction.Exec("INSERT INTO kept VALUES (4)"))
	Must(transaction.Rollback())
	Equal(scan[string](db, "SELECT GROUP_CONCAT(id ORDER BY id) FROM kept"), "1,3")
	transaction = Value(db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}))
	_, err := transaction.Exec("INSERT INTO refused_table VALUES (9)")
	fails(err, 1792, "25006")
	Must(transaction.Rollback())
}

func multi(db *sql.Conn) {
	read := func(text string, args ...any) ([][]string, error) {
		rows, err := db.QueryContext(ctx, text, args...)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		var results [][]string
		for {
			var result []string
			for rows.Next() {
				columns := Value(rows.Columns())
				values := make([]string, len(columns))
				pointers := make([]any, len(columns))
				for i := range values {
					pointers[i] = &values[i]
				}
				Must(rows.Scan(pointers...))
				result = append(result, strings.Join(values, "|"))
			}
			if result != nil {
				results = append(results, result)
			}
			if !rows.NextResultSet() {
				return results, rows.Err()
			}
		}
	}
	Equal(Value(read("SELECT 'x;y'; DO 1; SELECT 'b', 2")), [][]string{{"x;y"}, {"b|2"}})
	_, err := read("SELECT 1; SELEC 2; SELECT 3")
	fails(err, 1064, "42000")
	Equal(Value(read("CALL two_results(4)")), [][]string{{"4"}, {"5|x"}})
	Equal(Value(read("CALL two_results(?)", 4)), [][]string{{"4"}, {"5|x"}})
	_, err = read("CALL fails_late()")
	fails(err, 1644, "45000")
	Equal(scan[int](db, "SELECT 3"), 3)
}

func cancel(db *sql.Conn) {
	identity := scan[int](db, "SELECT CONNECTION_ID()")
	with(func(other *sql.Conn) {
		timer := time.AfterFunc(300*time.Millisecond, func() { exec(other, fmt.Sprint("KILL QUERY ", identity)) })
		defer timer.Stop()
		fails(failure(db, "SELECT COUNT(*) FROM refused_table WHERE SLEEP(30)"), 1317, "70100")
	})()
	Equal(scan[int](db, "SELECT CONNECTION_ID()"), identity)
	// The driver's own way is to leave: it closes the connection.
	with(func(other *sql.Conn) {
		limited, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		defer stop()
		_, err := other.ExecContext(limited, "SELECT COUNT(*) FROM refused_table WHERE SLEEP(5)")
		Equal(errors.Is(err, context.DeadlineExceeded), true)
	})()
}

func infile(db *sql.Conn) {
	exec(db, "CREATE TEMPORARY TABLE loaded (n INT, t TEXT)")
	asked := false
	mysql.RegisterReaderHandler("rows", func() io.Reader {
		asked = true
		return strings.NewReader("1,one\n2,two\n")
	})
	err := failure(db, "LOAD DATA LOCAL INFILE 'Reader::rows' INTO TABLE loaded FIELDS TERMINATED BY ','")
	expected := 2
	if Direct {
		Must(err)
	} else {
		expected = 0
		Equal(err == nil, false)
	}
	Equal(asked, Direct)
	Equal(scan[int](db, "SELECT COUNT(*) FROM loaded"), expected)
}

func big(db *sql.Conn) {
	// Two packets each way, in binary and in text.
	value := bytes.Repeat([]byte("sluice"), 3_000_000)
	Equal(bytes.Equal(scan[[]byte](db, "SELECT ?", value), value), true)
	with(func(db *sql.Conn) { Equal(bytes.Equal(scan[[]byte](db, "SELECT ?", value), value), true) }, interpolated)()
	// A packet that is full to its last byte has an empty one behind it: one byte of command, the rest is text.
	filling := 0xfffffe - len("SELECT LENGTH('') AS n")
	Equal(scan[int](db, "SELECT LENGTH('"+strings.Repeat("x", filling)+"') AS n"), filling)
}

func compression(db *sql.Conn) {
	if Direct {
		var name, value string
		Must(db.QueryRowContext(ctx, "SHOW STATUS LIKE 'Compression'").Scan(&name, &value))
		Equal(value, "ON")
	}
	Equal(scan[string](db, "SELECT ?", strings.Repeat("x", 100_000)), strings.Repeat("x", 100_000))
	Equal(scan[string](db, "SELECT REPEAT('y', 1000000)"), strings.Repeat("y", 1_000_000))
}

func refuses(db *sql.Conn, text string) {
	fails(failure(db, text), 1142, "42000")
	rows := Value(db.QueryContext(ctx, "SHOW WARNINGS"))
	defer rows.Close()
	var messages []string
	for rows.Next() {
		var level, code, message string
		Must(rows.Scan(&level, &code, &message))
		messages = append(messages, message)
	}
	Equal(slices.ContainsFunc(messages, func(text string) bool { return strings.Contains(text, "Add a WHERE clause") }), true)
}

func refusal(db *sql.Conn) {
	NeedsRules()
	refuses(db, "DELETE FROM refused_table")
	refuses(db, "SELECT 1; DELETE FROM refused_table")
	_, err := db.PrepareContext(ctx, "DELETE FROM refused_table")
	if err == nil {
		err = failure(db, "DELETE FROM refused_table LIMIT ?", 9)
	}
	fails(err, 1142, "42000")
	Equal(scan[int](db, "SELECT COUNT(*) FROM refused_table"), 3)
	question := "EXPLAIN FORMAT=SLUICE DELETE FROM `refused_table`"
	var property, value string
	Must(db.QueryRowContext(ctx, question).Scan(&property, &value))
	Equal(property+" "+value, "verdict deny")
	Must(db.QueryRowContext(ctx, question+" WHERE id = ?", 1).Scan(&property, &value))
	Equal(property+" "+value, "verdict allow")
}

func refusalInTransaction(db *sql.Conn) {
	NeedsRules()
	exec(db, "CREATE TEMPORARY TABLE undone (id INT) ENGINE = InnoDB")
	// An error does not end a transaction: what came before it is still there, and can be kept or dropped.
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		exec(db, "START TRANSACTION")
		exec(db, "INSERT INTO undone VALUES (?)", 1)
		refuses(db, "DELETE FROM refused_table")
		exec(db, "INSERT INTO undone VALUES (2)")
		exec(db, end)
	}
	Equal(scan[int](db, "SELECT COUNT(*) FROM undone"), 2)
}

func main() {
	several := func(config *mysql.Config) { config.MultiStatements = true }
	Run([]Check{
		{"connect", with(connect)},
		{"types", with(types)},
		{"simple", with(simple)},
		{"prepared", with(prepared)},
		{"errors", with(errorCodes)},
		{"transactions", with(transactions)},
		{"multi", with(multi, several)},
		{"cancel", with(cancel)},
		{"infile", with(infile)},
		{"big", with(big)},
		{"compression", with(compression, func(config *mysql.Config) { Must(config.Apply(mysql.EnableCompression(true))) })},
		{"refusal", with(refusal, several)},
		{"refusal-in-transaction", with(refusalInTransaction)},
	})
}
