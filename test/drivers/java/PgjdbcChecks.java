package sluice.drivers;

import static sluice.drivers.Report.*;

import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.util.Arrays;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.util.PSQLException;

/** pgjdbc. */
public final class PgjdbcChecks {
  private static Connection open(String... settings) throws SQLException {
    var environment = System.getenv();
    var properties = new Properties();
    properties.setProperty("user", environment.get("PGUSER"));
    properties.setProperty("password", environment.get("PGPASSWORD"));
    properties.setProperty("sslmode", environment.get("PGSSLMODE"));
    properties.setProperty("sslrootcert", environment.get("PGSSLROOTCERT"));
    for (int i = 0; i < settings.length; i += 2) properties.setProperty(settings[i], settings[i + 1]);
    var url = "jdbc:postgresql://" + environment.get("PGHOST") + ":" + environment.get("PGPORT") + "/"
        + environment.get("PGDATABASE");
    return DriverManager.getConnection(url, properties);
  }

  private static void connect(Connection db) throws Exception {
    equal(value(db, "SELECT 1"), 1);
    fails("28P01", () -> open("password", "wrong " + System.getenv("PGPASSWORD")).close());
  }

  private static void types(Connection unused) throws Exception {
    byte[] bytes = new byte[256];
    for (int i = 0; i < 256; i++) bytes[i] = (byte) i;
    // A threshold of -1 asks for binary results at once; binaryTransfer=false never does.
    for (String[] settings : new String[][] {{"prepareThreshold", "-1"}, {"binaryTransfer", "false"}}) {
      try (Connection db = open(settings)) {
        for (int round = 0; round < 2; round++) {
          equal(value(db, "SELECT ?::int2", -32768), -32768);
          equal(value(db, "SELECT ?::int4", 2147483647), 2147483647);
          equal(value(db, "SELECT ?::int8", Long.MIN_VALUE), Long.MIN_VALUE);
          equal(value(db, "SELECT ?::float4", 0.5f), 0.5f);
          equal(value(db, "SELECT ?::float8", 1.7976931348623157e308), 1.7976931348623157e308);
          var numeric = new BigDecimal("-12345678901234567890.0123456789");
          equal(value(db, "SELECT ?::numeric", numeric), numeric);
          equal(value(db, "SELECT ?::bool", true), true);
          equal(value(db, "SELECT ?::text", "häß 漢字 🐘 'quoted' \\ \n"), "häß 漢字 🐘 'quoted' \\ \n");
          equal(value(db, "SELECT ?::bytea", (Object) bytes), bytes);
          var uuid = UUID.fromString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
          equal(value(db, "SELECT ?::uuid", uuid), uuid);
          equal(value(db, "SELECT ?::jsonb", "{\"a\": [1, null, \"ü\"]}").toString(), "{\"a\": [1, null, \"ü\"]}");
          equal(value(db, "SELECT ?::text", (Object) null), null);
          var numbers = new Integer[] {1, null, -3};
          equal(((java.sql.Array) value(db, "SELECT ?::int4[]", db.createArrayOf("int4", numbers))).getArray(), numbers);
          temporal(db);
        }
      }
    }
  }

  private static void temporal(Connection db) throws SQLException {
    var date = LocalDate.of(2024, 2, 29);
    var moment = OffsetDateTime.parse("2026-11-23T12:00:00.000001Z");
    var local = LocalDateTime.of(1999, 12, 31, 23, 59, 59, 999_999_000);
    try (PreparedStatement statement = db.prepareStatement("SELECT ?::date, ?::timestamptz, ?::timestamp")) {
      statement.setObject(1, date);
      statement.setObject(2, moment);
      statement.setObject(3, local);
      try (ResultSet rows = statement.executeQuery()) {
        rows.next();
        equal(rows.getObject(1, LocalDate.class), date);
        equal(rows.getObject(2, OffsetDateTime.class).toInstant(), moment.toInstant());
        equal(rows.getObject(3, LocalDateTime.class), local);
      }
    }
  }

  private static void simple(Connection unused) throws Exception {
    try (Connection db = open("preferQueryMode", "simple"); Statement statement = db.createStatement()) {
      equal(statement.execute("SELECT 'x;y'; SELECT 'b'"), true);
      statement.getResultSet().next();
      equal(statement.getResultSet().getString(1), "x;y");
      equal(statement.getMoreResults(), true);
      statement.getResultSet().next();
      equal(statement.getResultSet().getString(1), "b");
      equal(value(db, "SELECT ?::int", 7), 7);
    }
  }

  private static void prepared(Connection db) throws Exception {
    // The sixth execution makes pgjdbc switch from an unnamed to a named statement.
    try (PreparedStatement statement = db.prepareStatement("SELECT ?::int8 * 2")) {
      for (long n = 0; n < 20; n++) {
        statement.setLong(1, n);
        try (ResultSet rows = statement.executeQuery()) {
          rows.next();
          equal(rows.getLong(1), n * 2);
        }
      }
    }
    equal(value(db, "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%int8 * 2'"), 1L);
  }

  private static void errors(Connection db) throws Exception {
    fails("42601", () -> execute(db, "SELEC 1"));
    execute(db, "CREATE TEMP TABLE uniq (id int PRIMARY KEY)");
    execute(db, "INSERT INTO uniq VALUES (1)");
    try {
      value(db, "INSERT INTO uniq VALUES (?) RETURNING id", 1);
      throw new AssertionError("no error");
    } catch (PSQLException error) {
      equal(error.getSQLState(), "23505");
      equal(error.getServerErrorMessage().getConstraint(), "uniq_pkey");
    }
    equal(value(db, "SELECT count(*) FROM uniq"), 1L);
  }

  private static void transactions(Connection db) throws Exception {
    execute(db, "CREATE TEMP TABLE kept (id int)");
    db.setAutoCommit(false);
    execute(db, "INSERT INTO kept VALUES (1)");
    var savepoint = db.setSavepoint("inner");
    execute(db, "INSERT INTO kept VALUES (2)");
    db.rollback(savepoint);
    execute(db, "INSERT INTO kept VALUES (3)");
    db.commit();
    execute(db, "INSERT INTO kept VALUES (4)");
    db.rollback();
    equal(value(db, "SELECT string_agg(id::text, ',' ORDER BY id) FROM kept"), "1,3");
  }

  private static void pipeline(Connection db) throws Exception {
    execute(db, "CREATE TEMP TABLE batch (n int PRIMARY KEY)");
    try (PreparedStatement statement = db.prepareStatement("INSERT INTO batch VALUES (?)")) {
      for (int n = 0; n < 500; n++) {
        statement.setInt(1, n);
        statement.addBatch();
      }
      equal(Arrays.stream(statement.executeBatch()).sum(), 500);
      for (int n : new int[] {600, 5, 601}) {
        statement.setInt(1, n);
        statement.addBatch();
      }
      try {
        statement.executeBatch();
        throw new AssertionError("no error");
      } catch (BatchUpdateException error) {
        equal(error.getSQLState(), "23505");
      }
    }
    equal(value(db, "SELECT count(*) FROM batch WHERE n < 600"), 500L);
  }

  private static void portal(Connection db) throws Exception {
    db.setAutoCommit(false);
    try (PreparedStatement statement = db.prepareStatement("SELECT generate_series(1, ?)")) {
      statement.setFetchSize(7);
      statement.setInt(1, 50);
      try (ResultSet rows = statement.executeQuery()) {
        int n = 0;
        while (rows.next()) equal(rows.getInt(1), ++n);
        equal(n, 50);
      }
      statement.setMaxRows(3);
      try (ResultSet rows = statement.executeQuery()) {
        int n = 0;
        while (rows.next()) n++;
        equal(n, 3);
      }
    }
    db.commit();
  }

  private static void copy(Connection db) throws Exception {
    execute(db, "CREATE TEMP TABLE copied (id int4, note text, data bytea)");
    var copies = db.unwrap(PGConnection.class).getCopyAPI();
    var rows = "1\ttab\\there\t\\N\n2\tline\\nbreak\t\\\\x00ff\n3\t\\\\.\t\\\\x\n";
    equal(copies.copyIn("COPY copied FROM STDIN", new StringReader(rows)), 3L);
    var out = new ByteArrayOutputStream();
    equal(copies.copyOut("COPY copied TO STDOUT", out), 3L);
    equal(out.toString(StandardCharsets.UTF_8), rows);
    fails("22P02", () -> {
      try {
        copies.copyIn("COPY copied FROM STDIN", new StringReader("not a number\t\\N\t\\N\n"));
      } catch (java.io.IOException error) {
        throw new AssertionError(error);
      }
    });
    var abandoned = copies.copyIn("COPY copied FROM STDIN");
    abandoned.cancelCopy();
    equal(value(db, "SELECT count(*) FROM copied"), 3L);
  }

  private static void cancel(Connection db) throws Exception {
    try (Statement statement = db.createStatement()) {
      var canceller = CompletableFuture.runAsync(() -> {
        try {
          Thread.sleep(300);
          statement.cancel();
        } catch (InterruptedException | SQLException error) {
          throw new AssertionError(error);
        }
      });
      fails("57014", () -> statement.execute("SELECT pg_sleep(30)"));
      canceller.join();
      statement.setQueryTimeout(1);
      fails("57014", () -> statement.execute("SELECT pg_sleep(30)"));
    }
    equal(value(db, "SELECT 1"), 1);
  }

  private static void notifications(Connection db) throws Exception {
    var channel = "pgjdbc_" + ProcessHandle.current().pid();
    execute(db, "LISTEN " + channel);
    try (Connection other = open()) {
      value(other, "SELECT pg_notify(?, ?)::text", channel, "from the other");
    }
    PGNotification[] received = db.unwrap(PGConnection.class).getNotifications(10_000);
    equal(received.length, 1);
    equal(received[0].getParameter(), "from the other");
  }

  private static void refusal(Connection db) throws Exception {
    needsRules();
    fails("42501", () -> execute(db, "DELETE FROM refused_table"));
    fails("42501", () -> db.prepareStatement("DELETE FROM refused_table").executeUpdate());
    fails("42501", () -> execute(db, "SELECT 1; DELETE FROM refused_table"));
    try (Connection plain = open("preferQueryMode", "simple")) {
      fails("42501", () -> execute(plain, "DELETE FROM refused_table"));
      equal(value(plain, "SELECT count(*) FROM refused_table"), 3L);
      equal(verdict(plain, "", null), "deny");
    }
    equal(value(db, "SELECT count(*) FROM refused_table"), 3L);
    // From the fifth time on pgjdbc keeps what it has prepared at the server.
    for (int time = 0; time < 7; time++) {
      equal(verdict(db, "", null), "deny");
      equal(verdict(db, " WHERE id = ?", 1), "allow");
    }
  }

  /** What would become of a DELETE, asked of Sluice. */
  private static String verdict(Connection db, String condition, Integer value) throws Exception {
    String question = "EXPLAIN (SLUICE) DELETE FROM public.refused_table" + condition;
    try (PreparedStatement asked = db.prepareStatement(question)) {
      if (value != null) asked.setInt(1, value);
      try (ResultSet rows = asked.executeQuery()) {
        rows.next();
        equal(rows.getString("property"), "verdict");
        return rows.getString("value");
      }
    }
  }

  private static void refusalInTransaction(Connection db) throws Exception {
    needsRules();
    execute(db, "CREATE TEMP TABLE undone (id int)");
    // Without pgjdbc's own transactions, since its commit() hides the ROLLBACK.
    execute(db, "BEGIN");
    try (PreparedStatement insert = db.prepareStatement("INSERT INTO undone VALUES (?)")) {
      insert.setInt(1, 1);
      insert.executeUpdate();
    }
    fails("42501", () -> execute(db, "DELETE FROM refused_table"));
    fails("25P02", () -> execute(db, "SELECT 1"));
    execute(db, "COMMIT");
    equal(value(db, "SELECT count(*) FROM undone"), 0L);

    db.setAutoCommit(false);
    execute(db, "INSERT INTO undone VALUES (2)");
    fails("42501", () -> execute(db, "DELETE FROM refused_table"));
    fails("25P02", () -> execute(db, "SELECT 1"));
    db.rollback();
    equal(value(db, "SELECT count(*) FROM undone"), 0L);
  }

  private static void check(String name, Check check) {
    report(name, PgjdbcChecks::open, check);
  }

  public static void main(String[] arguments) {
    check("connect", PgjdbcChecks::connect);
    check("types", PgjdbcChecks::types);
    check("simple", PgjdbcChecks::simple);
    check("prepared", PgjdbcChecks::prepared);
    check("errors", PgjdbcChecks::errors);
    check("transactions", PgjdbcChecks::transactions);
    check("pipeline", PgjdbcChecks::pipeline);
    check("portal", PgjdbcChecks::portal);
    check("copy", PgjdbcChecks::copy);
    check("cancel", PgjdbcChecks::cancel);
    check("notify", PgjdbcChecks::notifications);
    check("refusal", PgjdbcChecks::refusal);
    check("refusal-in-transaction", PgjdbcChecks::refusalInTransaction);
  }
}
