//! tokio-postgres: everything prepared and binary, plain text by `simple_query`.

use std::{env, fmt::Debug, fs, future::Future, time::Duration};

use driver_checks::{equal, needs_rules, report, Outcome};
use futures_util::{future, pin_mut, stream, SinkExt, StreamExt};
use rustls::pki_types::{pem::PemObject, CertificateDer};
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_postgres::{
    types::{FromSql, ToSql},
    AsyncMessage, Client, Config, NoTls, SimpleQueryMessage,
};
use tokio_postgres_rustls::MakeRustlsConnect;

fn config() -> Config {
    let mut config = Config::new();
    config
        .host(env::var("PGHOST").unwrap())
        .port(env::var("PGPORT").unwrap().parse().unwrap())
        .user(env::var("PGUSER").unwrap())
        .password(env::var("PGPASSWORD").unwrap())
        .dbname(env::var("PGDATABASE").unwrap());
    config
}

/// The way to encrypt, or `None` for a connection in clear.
fn tls() -> Option<MakeRustlsConnect> {
    if env::var("PGSSLMODE").unwrap() == "disable" {
        return None;
    }
    let mut roots = rustls::RootCertStore::empty();
    let pem = fs::read(env::var("PGSSLROOTCERT").unwrap()).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Some(MakeRustlsConnect::new(config))
}

/// Connects; `receive` gets the notifications that arrive later.
async fn open(
    config: &mut Config,
    receive: impl Fn(String) + Send + 'static,
) -> Result<Client, tokio_postgres::Error> {
    macro_rules! start {
        ($tls:expr) => {{
            let (client, mut connection) = config.connect($tls).await?;
            tokio::spawn(async move {
                let messages = stream::poll_fn(move |context| connection.poll_message(context));
                pin_mut!(messages);
                while let Some(Ok(message)) = messages.next().await {
                    if let AsyncMessage::Notification(notification) = message {
                        receive(notification.payload().to_owned());
                    }
                }
            });
            Ok(client)
        }};
    }
    match tls() {
        Some(tls) => {
            config.ssl_mode(tokio_postgres::config::SslMode::Require);
            start!(tls)
        }
        None => {
            config.ssl_mode(tokio_postgres::config::SslMode::Disable);
            start!(NoTls)
        }
    }
}

async fn connected() -> Result<Client, tokio_postgres::Error> {
    open(&mut config(), |_| ()).await
}

/// The statement must fail with this SQLSTATE.
fn fails<T>(result: Result<T, tokio_postgres::Error>, state: &str) -> Outcome {
    match result {
        Ok(_) => Err(format!("no error where {state} is expected").into()),
        Err(error) => equal(error.code().map(|code| code.code()), Some(state)),
    }
}

async fn same<T>(db: &Client, name: &str, value: T) -> Outcome
where
    T: ToSql + Sync + PartialEq + Debug + for<'a> FromSql<'a>,
{
    let row = db.query_one(&format!("SELECT $1::{name}"), &[&value]).await?;
    equal(row.try_get::<_, T>(0)?, value)
}

async fn connect(db: Client) -> Outcome {
    equal(db.query_one("SELECT 1", &[]).await?.get::<_, i32>(0), 1)?;
    let wrong = format!("wrong {}", env::var("PGPASSWORD")?);
    fails(open(config().password(wrong), |_| ()).await, "28P01")
}

async fn types(db: Client) -> Outcome {
    same(&db, "int2", i16::MIN).await?;
    same(&db, "int4", i32::MAX).await?;
    same(&db, "int8", i64::MIN).await?;
    same(&db, "float4", 0.5f32).await?;
    same(&db, "float8", f64::MAX).await?;
    same(&db, "bool", true).await?;
    same(&db, "text", "häß 漢字 🐘 'quoted' \\ \n".to_owned()).await?;
    same(&db, "bytea", (0..=255u8).collect::<Vec<_>>()).await?;
    same(&db, "jsonb", json!({"a": [1, null, "ü"], "b": {"c": 1.5}})).await?;
    same(&db, "json", json!([true])).await?;
    same(&db, "int4[]", vec![Some(1), None, Some(-3)]).await?;
    same(&db, "text[]", vec!["a".to_owned(), String::new(), "{,}\"'".to_owned()]).await?;
    same(&db, "text", None::<String>).await?;
    same(&db, "timestamptz", std::time::UNIX_EPOCH + Duration::from_micros(1_795_435_200_000_001)).await?;
    // Text format of the same, by the simple protocol.
    let sql = "SELECT (-12345678901234567890.0123456789)::numeric, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, \
               '\\x00ff'::bytea, NULL::text";
    let messages = db.simple_query(sql).await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..4).map(|n| row.get(n).map(str::to_owned)).collect::<Vec<_>>()),
        _ => None,
    });
    let texts = ["-12345678901234567890.0123456789", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "\\x00ff"];
    equal(row, Some(texts.into_iter().map(|text| Some(text.to_owned())).chain([None]).collect()))
}

async fn simple(db: Client) -> Outcome {
    db.batch_execute("CREATE TEMP TABLE plain (id int); INSERT INTO plain VALUES (1), (2)").await?;
    fails(db.batch_execute("INSERT INTO plain VALUES (3); SELECT 1 / 0").await, "22012")?;
    let counts: Vec<u64> = db
        .simple_query("SELECT * FROM plain; SELECT 1")
        .await?
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
            _ => None,
        })
        .collect();
    equal(counts, vec![2, 1])
}

async fn prepared(db: Client) -> Outcome {
    let statement = db.prepare("SELECT $1::int8 * 2").await?;
    for n in 0..20i64 {
        equal(db.query_one(&statement, &[&n]).await?.get::<_, i64>(0), n * 2)?;
    }
    Ok(())
}

async fn errors(db: Client) -> Outcome {
    fails(db.query("SELEC 1", &[]).await, "42601")?;
    fails(db.simple_query("SELEC 1").await, "42601")?;
    db.batch_execute("CREATE TEMP TABLE uniq (id int PRIMARY KEY); INSERT INTO uniq VALUES (1)").await?;
    let error = db.execute("INSERT INTO uniq VALUES ($1)", &[&1]).await.err().ok_or("no error")?;
    equal(error.as_db_error().and_then(|error| error.constraint()), Some("uniq_pkey"))?;
    fails::<()>(Err(error), "23505")?;
    equal(db.query_one("SELECT count(*) FROM uniq", &[]).await?.get::<_, i64>(0), 1)
}

async fn transactions(mut db: Client) -> Outcome {
    db.batch_execute("CREATE TEMP TABLE kept (id int)").await?;
    let mut outer = db.transaction().await?;
    outer.execute("INSERT INTO kept VALUES (1)", &[]).await?;
    let inner = outer.savepoint("point").await?;
    inner.execute("INSERT INTO kept VALUES (2)", &[]).await?;
    inner.rollback().await?;
    outer.execute("INSERT INTO kept VALUES (3)", &[]).await?;
    outer.commit().await?;
    let undone = db.transaction().await?;
    undone.execute("INSERT INTO kept VALUES (4)", &[]).await?;
    undone.rollback().await?;
    let row = db.query_one("SELECT array_agg(id ORDER BY id) FROM kept", &[]).await?;
    equal(row.get::<_, Vec<i32>>(0), vec![1, 3])
}

async fn pipeline(db: Client) -> Outcome {
    let statement = db.prepare("SELECT 10 / $1::int").await?;
    let values: Vec<i32> = (1..=50).collect();
    let rows = future::try_join_all(values.iter().map(|n| async { db.query_one(&statement, &[n]).await })).await?;
    equal(rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), values.iter().map(|n| 10 / n).collect())?;
    let results = future::join_all([1, 0, 2].iter().map(|n| async { db.query_one(&statement, &[n]).await })).await;
    let mut results = results.into_iter();
    equal(results.next().unwrap()?.get::<_, i32>(0), 10)?;
    fails(results.next().unwrap(), "22012")?;
    equal(results.next().unwrap()?.get::<_, i32>(0), 5)
}

async fn portal(mut db: Client) -> Outcome {
    let transaction = db.transaction().await?;
    let portal = transaction.bind("SELECT generate_series(1, $1::int)", &[&50]).await?;
    let mut all: Vec<i32> = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 7).await?;
        if rows.is_empty() {
            break;
        }
        all.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
    }
    equal(all, (1..=50).collect())?;
    Ok(transaction.commit().await?)
}

async fn copy(db: Client) -> Outcome {
    let rows = "1\ttab\\there\t\\N\n2\tline\\nbreak\t\\\\x00ff\n3\t\\\\.\t\\\\x\n";
    db.batch_execute("CREATE TEMP TABLE copied (id int4, note text, data bytea)").await?;
    let sink = db.copy_in("COPY copied FROM STDIN").await?;
    pin_mut!(sink);
    let (first, second) = rows.split_at(10);
    sink.send(first.as_bytes()).await?;
    sink.send(second.as_bytes()).await?;
    equal(sink.finish().await?, 3)?;
    let chunks = db.copy_out("COPY copied TO STDOUT").await?;
    pin_mut!(chunks);
    let mut out = Vec::new();
    while let Some(chunk) = chunks.next().await {
        out.extend_from_slice(&chunk?);
    }
    equal(String::from_utf8(out)?, rows.to_owned())?;
    let broken = db.copy_in("COPY copied FROM STDIN").await?;
    pin_mut!(broken);
    broken.send("not a number\t\\N\t\\N\n".as_bytes()).await?;
    fails(broken.finish().await, "22P02")?;
    // A sink that is dropped sends CopyFail.
    drop(db.copy_in::<_, &[u8]>("COPY copied FROM STDIN").await?);
    equal(db.query_one("SELECT count(*) FROM copied", &[]).await?.get::<_, i64>(0), 3)
}

async fn cancel(db: Client) -> Outcome {
    let token = db.cancel_token();
    let later = async {
        sleep(Duration::from_millis(300)).await;
        match tls() {
            Some(tls) => token.cancel_query(tls).await,
            None => token.cancel_query(NoTls).await,
        }
    };
    let (slept, cancelled) = tokio::join!(db.query("SELECT pg_sleep(30)", &[]), later);
    cancelled?;
    fails(slept, "57014")?;
    equal(db.query_one("SELECT 1", &[]).await?.get::<_, i32>(0), 1)
}

async fn notify(other: Client) -> Outcome {
    let channel = format!("tokio_postgres_{}", std::process::id());
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let db = open(&mut config(), move |payload| drop(sender.send(payload))).await?;
    db.batch_execute(&format!("LISTEN {channel}")).await?;
    other.execute("SELECT pg_notify($1, $2)", &[&channel, &"from the other"]).await?;
    let received = timeout(Duration::from_secs(10), receiver.recv()).await?;
    equal(received.as_deref(), Some("from the other"))
}

async fn refusal(db: Client) -> Outcome {
    needs_rules()?;
    fails(db.execute("DELETE FROM refused_table", &[]).await, "42501")?;
    fails(db.prepare("DELETE FROM refused_table").await, "42501")?;
    fails(db.simple_query("SELECT 1; DELETE FROM refused_table").await, "42501")?;
    let statement = db.prepare("SELECT $1::int").await?;
    let (before, refused, after) = tokio::join!(
        db.query_one(&statement, &[&1]),
        db.simple_query("DELETE FROM refused_table"),
        db.query_one(&statement, &[&2]),
    );
    equal(before?.get::<_, i32>(0), 1)?;
    fails(refused, "42501")?;
    equal(after?.get::<_, i32>(0), 2)?;
    equal(db.query_one("SELECT count(*) FROM refused_table", &[]).await?.get::<_, i64>(0), 3)
}

async fn refusal_in_transaction(db: Client) -> Outcome {
    needs_rules()?;
    db.batch_execute("CREATE TEMP TABLE undone (id int)").await?;
    db.batch_execute("BEGIN").await?;
    db.execute("INSERT INTO undone VALUES ($1)", &[&1]).await?;
    fails(db.execute("DELETE FROM refused_table", &[]).await, "42501")?;
    fails(db.execute("SELECT 1", &[]).await, "25P02")?;
    // COMMIT ends in ROLLBACK, which tokio-postgres tells nobody: the row that is not there does.
    db.batch_execute("COMMIT").await?;
    equal(db.query_one("SELECT count(*) FROM undone", &[]).await?.get::<_, i64>(0), 0)
}

/// Runs one check on a connection of its own.
async fn on_a_connection<F: Future<Output = Outcome>>(name: &str, check: impl FnOnce(Client) -> F) {
    report(name, async { check(connected().await?).await }).await;
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    on_a_connection("connect", connect).await;
    on_a_connection("types", types).await;
    on_a_connection("simple", simple).await;
    on_a_connection("prepared", prepared).await;
    on_a_connection("errors", errors).await;
    on_a_connection("transactions", transactions).await;
    on_a_connection("pipeline", pipeline).await;
    on_a_connection("portal", portal).await;
    on_a_connection("copy", copy).await;
    on_a_connection("cancel", cancel).await;
    on_a_connection("notify", notify).await;
    on_a_connection("refusal", refusal).await;
    on_a_connection("refusal-in-transaction", refusal_in_transaction).await;
}
