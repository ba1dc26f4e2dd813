//! sqlx with MySQL: everything prepared and binary, plain text by `raw_sql`.

use std::{env, future::Future, time::Duration};

use driver_checks::{equal, needs_rules, report, Outcome};
use futures_util::{StreamExt, TryStreamExt};
use sqlx::{
    mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlSslMode},
    raw_sql,
    types::{
        chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc},
        BigDecimal,
    },
    AssertSqlSafe, ConnectOptions, Connection, Executor, Row,
};
use tokio::time::{sleep, timeout};

fn options() -> MySqlConnectOptions {
    let options = MySqlConnectOptions::new()
        .host(&env::var("MYSQL_HOST").unwrap())
        .port(env::var("MYSQL_TCP_PORT").unwrap().parse().unwrap())
        .username(&env::var("MYSQL_USER").unwrap())
        .password(&env::var("MYSQL_PWD").unwrap())
        .database(&env::var("MYSQL_DATABASE").unwrap());
    match env::var("MYSQL_SSL_MODE").as_deref() {
        Ok("verify-full") => {
            options.ssl_mode(MySqlSslMode::VerifyIdentity).ssl_ca(env::var("MYSQL_SSL_CA").unwrap())
        }
        _ => options.ssl_mode(MySqlSslMode::Disabled),
    }
}

/// The statement must fail with this number and SQLSTATE.
fn fails<T>(result: Result<T, sqlx::Error>, number: u16, state: &str) -> Outcome {
    match result {
        Ok(_) => Err(format!("no error where {number} is expected").into()),
        Err(sqlx::Error::Database(error)) => {
            let error = error.downcast::<MySqlDatabaseError>();
            equal((error.number(), error.code().unwrap_or_default()), (number, state))
        }
        Err(error) => Err(error.into()),
    }
}

async fn execute(db: &mut MySqlConnection, sql: &'static str) -> Result<u64, sqlx::Error> {
    Ok(raw_sql(sql).execute(db).await?.rows_affected())
}

async fn count(db: &mut MySqlConnection, sql: &'static str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(sql).fetch_one(db).await
}

async fn connect(mut db: MySqlConnection) -> Outcome {
    equal(count(&mut db, "SELECT 1").await?, 1)?;
    // Where the server caches, the second login takes another way than the first.
    options().connect().await?.ping().await?;
    let wrong = options().password(&format!("wrong {}", env::var("MYSQL_PWD").unwrap()));
    fails(wrong.connect().await, 1045, "28000")
}

async fn types(mut db: MySqlConnection) -> Outcome {
    execute(&mut db, "SET time_zone = '+00:00'").await?;
    execute(&mut db, "CREATE TEMPORARY TABLE written LIKE typed").await?;
    let columns = "tiny, small, medium, big, unsigned_big, single, twice, exact, bits, year, day, time, moment, stamp, \
        fixed, text, bytes, choice, several";
    let every_byte: Vec<u8> = (0..=255).collect();
    let exact: BigDecimal = "-12345678901234567890.01234567890123456789".parse()?;
    let day = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    let time = NaiveTime::from_hms_micro_opt(12, 34, 56, 789_012).unwrap();
    let moment: NaiveDateTime = "1999-12-31T23:59:59.999999".parse()?;
    let stamp: DateTime<Utc> = "2026-11-23T12:00:00.123456Z".parse()?;
    let text = "häß 漢字 🐘 'quoted' \\ \n";
    let check = |row: &MySqlRow| -> Outcome {
        equal(row.try_get::<i8, _>("tiny")?, -128)?;
        equal(row.try_get::<i16, _>("small")?, -32768)?;
        equal(row.try_get::<i32, _>("medium")?, -8388608)?;
        equal(row.try_get::<i64, _>("big")?, i64::MIN)?;
        equal(row.try_get::<u64, _>("unsigned_big")?, u64::MAX)?;
        equal(row.try_get::<f32, _>("single")?, 0.5)?;
        equal(row.try_get::<f64, _>("twice")?, 1.5e308)?;
        equal(row.try_get::<BigDecimal, _>("exact")?, exact.clone())?;
        equal(row.try_get::<u16, _>("year")?, 2155)?;
        equal(row.try_get::<NaiveDate, _>("day")?, day)?;
        equal(row.try_get::<NaiveTime, _>("time")?, time)?;
        equal(row.try_get::<NaiveDateTime, _>("moment")?, moment)?;
        equal(row.try_get::<DateTime<Utc>, _>("stamp")?, stamp)?;
        equal(row.try_get::<&str, _>("text")?, text)?;
        equal(row.try_get::<Vec<u8>, _>("bytes")?, every_byte.clone())?;
        equal(row.try_get::<&str, _>("choice")?, "b")
    };
    check(&sqlx::query("SELECT * FROM typed WHERE id = ?").bind(1).fetch_one(&mut db).await?)?;
    check(&raw_sql("SELECT * FROM typed WHERE id = 1").fetch_one(&mut db).await?)?;
    for row in [
        sqlx::query("SELECT * FROM typed WHERE id = ?").bind(3).fetch_one(&mut db).await?,
        raw_sql("SELECT * FROM typed WHERE id = 3").fetch_one(&mut db).await?,
    ] {
        equal(row.try_get::<Option<i64>, _>("big")?, None)?;
        equal(row.try_get::<Option<BigDecimal>, _>("exact")?, None)?;
        equal(row.try_get::<Option<NaiveDate>, _>("day")?, None)?;
        equal(row.try_get::<Option<&str>, _>("text")?, None)?;
    }
    let into = format!("INSERT INTO written (id, {columns}) VALUES (1{})", ", ?".repeat(19));
    sqlx::query(AssertSqlSafe(into))
        .bind(-128_i8)
        .bind(-32768_i16)
        .bind(-8388608_i32)
        .bind(i64::MIN)
        .bind(u64::MAX)
        .bind(0.5_f32)
        .bind(1.5e308)
        .bind(&exact)
        .bind(&[2_u8, 1][..])
        .bind(2155)
        .bind(day)
        .bind(time)
        .bind(moment)
        .bind(stamp)
        .bind("fixed")
        .bind(text)
        .bind(&every_byte)
        .bind("b")
        .bind("x,z")
        .execute(&mut db)
        .await?;
    let same: Vec<String> = columns.split(", ").map(|name| format!("a.{name} <=> b.{name}")).collect();
    let sql = format!("SELECT COUNT(*) FROM typed a JOIN written b ON {} WHERE a.id = 1", same.join(" AND "));
    equal(sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql)).fetch_one(&mut db).await?, 1)
}

async fn simple(mut db: MySqlConnection) -> Outcome {
    let row = raw_sql("SELECT 'x;y' AS a -- a comment").fetch_one(&mut db).await?;
    equal(row.try_get::<&str, _>("a")?, "x;y")?;
    execute(&mut db, "CREATE TEMPORARY TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY, n INT)").await?;
    let result = raw_sql("INSERT INTO counted (n) VALUES (1), (2), (3)").execute(&mut db).await?;
    equal((result.rows_affected(), result.last_insert_id()), (3, 1))
}

async fn prepared(mut db: MySqlConnection) -> Outcome {
    for n in 0..20 {
        let text = format!("text {n}");
        let row = sqlx::query("SELECT ? + n AS n, ? AS t FROM (SELECT 1 AS n) s").bind(n).bind(&text).fetch_one(&mut db);
        let row = row.await?;
        equal(row.try_get::<i64, _>("n")?, n + 1)?;
        equal(row.try_get::<String, _>("t")?, text)?;
    }
    // The cache of prepared statements overflows and closes the oldest.
    for n in 0..150 {
        let sql = AssertSqlSafe(format!("SELECT {n}"));
        equal(sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut db).await?, n)?;
    }
    fails(sqlx::query("SELEC ?").bind(1).execute(&mut db).await, 1064, "42000")
}

async fn errors(mut db: MySqlConnection) -> Outcome {
    fails(execute(&mut db, "SELEC 1").await, 1064, "42000")?;
    fails(count(&mut db, "SELECT COUNT(*) FROM nowhere").await, 1146, "42S02")?;
    execute(&mut db, "CREATE TEMPORARY TABLE uniq (id INT PRIMARY KEY)").await?;
    execute(&mut db, "INSERT INTO uniq VALUES (1)").await?;
    fails(execute(&mut db, "INSERT INTO uniq VALUES (1)").await, 1062, "23000")?;
    fails(sqlx::query("INSERT INTO uniq VALUES (?)").bind(1).execute(&mut db).await, 1062, "23000")?;
    equal(count(&mut db, "SELECT COUNT(*) FROM uniq").await?, 1)
}

async fn transactions(mut db: MySqlConnection) -> Outcome {
    execute(&mut db, "CREATE TEMPORARY TABLE kept (id INT) ENGINE = InnoDB").await?;
    let mut outer = db.begin().await?;
    execute(&mut outer, "INSERT INTO kept VALUES (1)").await?;
    let mut inner = outer.begin().await?;
    execute(&mut inner, "INSERT INTO kept VALUES (2)").await?;
    inner.rollback().await?;
    sqlx::query("INSERT INTO kept VALUES (?)").bind(3).execute(&mut *outer).await?;
    outer.commit().await?;
    let mut dropped = db.begin().await?;
    execute(&mut dropped, "INSERT INTO kept VALUES (4)").await?;
    drop(dropped);
    equal(count(&mut db, "SELECT SUM(id * 10 + 1) DIV 1 FROM kept").await?, 42)
}

async fn multi(mut db: MySqlConnection) -> Outcome {
    let rows: Vec<MySqlRow> = raw_sql("SELECT 'x;y'; DO 1; SELECT 'b'").fetch_all(&mut db).await?;
    equal(rows.len(), 2)?;
    equal(rows[0].try_get::<&str, _>(0)?, "x;y")?;
    equal(rows[1].try_get::<&str, _>(0)?, "b")?;
    fails(raw_sql("SELECT 1; SELEC 2; SELECT 3").fetch_all(&mut db).await, 1064, "42000")?;
    let rows = raw_sql("CALL two_results(4)").fetch_all(&mut db).await?;
    equal((rows[0].try_get::<i32, _>("a")?, rows[1].try_get::<i64, _>("b")?), (4, 5))?;
    fails(raw_sql("CALL fails_late()").fetch_all(&mut db).await, 1644, "45000")?;
    equal(count(&mut db, "SELECT 3").await?, 3)
}

async fn stream(mut db: MySqlConnection) -> Outcome {
    let sql = "SELECT a.id FROM typed a, typed b, typed c, typed d, typed e, typed f";
    let mut rows = sqlx::query(sql).fetch(&mut db);
    for _ in 0..10 {
        rows.try_next().await?.ok_or("too few rows")?;
    }
    drop(rows);
    // What was not taken is read away.
    equal(count(&mut db, "SELECT 1").await?, 1)?;
    equal(raw_sql(sql).fetch(&mut db).count().await, 729)
}

async fn cancel(mut db: MySqlConnection) -> Outcome {
    let identity: u64 = sqlx::query_scalar("SELECT CONNECTION_ID()").fetch_one(&mut db).await?;
    let mut other = options().connect().await?;
    let kill = async {
        sleep(Duration::from_millis(300)).await;
        raw_sql(AssertSqlSafe(format!("KILL QUERY {identity}"))).execute(&mut other).await
    };
    let sleeping = count(&mut db, "SELECT COUNT(*) FROM refused_table WHERE SLEEP(30)");
    let (slept, killed) = tokio::join!(sleeping, kill);
    killed?;
    fails(slept, 1317, "70100")?;
    equal(count(&mut db, "SELECT 1").await?, 1)?;
    // Its own way is to leave.
    let leaving = timeout(Duration::from_millis(300), other.execute("SELECT SLEEP(5)")).await;
    equal(leaving.is_err(), true)
}

async fn infile(mut db: MySqlConnection) -> Outcome {
    // sqlx never says that it can load, so the server refuses, too.
    execute(&mut db, "CREATE TEMPORARY TABLE loaded (n INT)").await?;
    equal(execute(&mut db, "LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE loaded").await.is_err(), true)?;
    equal(count(&mut db, "SELECT COUNT(*) FROM loaded").await?, 0)
}

async fn big(mut db: MySqlConnection) -> Outcome {
    // Two packets each way.
    let text = "sluice".repeat(3_000_000);
    let back: String = sqlx::query_scalar("SELECT ?").bind(&text).fetch_one(&mut db).await?;
    equal(back == text, true)?;
    // A packet that is full to its last byte has an empty one behind it: one byte of command, the rest is text.
    let filling = 0xff_ff_fe - "SELECT LENGTH('') AS n".len();
    let sql = format!("SELECT LENGTH('{}') AS n", "x".repeat(filling));
    let row = raw_sql(AssertSqlSafe(sql)).fetch_one(&mut db).await?;
    equal(row.try_get::<i64, _>(0)?, filling as i64)
}

async fn refused(db: &mut MySqlConnection, sql: &'static str) -> Outcome {
    fails(execute(db, sql).await, 1142, "42000")?;
    let warnings = raw_sql("SHOW WARNINGS").fetch_all(db).await?;
    let hinted = warnings.iter().any(|row| row.get::<&str, _>(2).contains("Add a WHERE clause"));
    equal(hinted, true)
}

async fn refusal(mut db: MySqlConnection) -> Outcome {
    needs_rules()?;
    refused(&mut db, "DELETE FROM refused_table").await?;
    refused(&mut db, "SELECT 1; DELETE FROM refused_table").await?;
    fails(sqlx::query("DELETE FROM refused_table").execute(&mut db).await, 1142, "42000")?;
    equal(count(&mut db, "SELECT COUNT(*) FROM refused_table").await?, 3)
}

async fn refusal_in_transaction(mut db: MySqlConnection) -> Outcome {
    needs_rules()?;
    execute(&mut db, "CREATE TEMPORARY TABLE undone (id INT) ENGINE = InnoDB").await?;
    // An error does not end a transaction: what came before it is still there, and can be kept or dropped.
    for keeps in [true, false] {
        let mut transaction = db.begin().await?;
        sqlx::query("INSERT INTO undone VALUES (?)").bind(1).execute(&mut *transaction).await?;
        refused(&mut transaction, "DELETE FROM refused_table").await?;
        execute(&mut transaction, "INSERT INTO undone VALUES (2)").await?;
        if keeps {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
    }
    equal(count(&mut db, "SELECT COUNT(*) FROM undone").await?, 2)
}

/// Runs one check on a connection of its own.
async fn check<F: Future<Output = Outcome>>(name: &str, run: impl FnOnce(MySqlConnection) -> F) {
    report(name, async { run(options().connect().await?).await }).await;
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    check("connect", connect).await;
    check("types", types).await;
    check("simple", simple).await;
    check("prepared", prepared).await;
    check("errors", errors).await;
    check("transactions", transactions).await;
    check("multi", multi).await;
    check("stream", stream).await;
    check("cancel", cancel).await;
    check("infile", infile).await;
    check("big", big).await;
    check("refusal", refusal).await;
    check("refusal-in-transaction", refusal_in_transaction).await;
}
