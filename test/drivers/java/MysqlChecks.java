package sluice.drivers;

import static sluice.drivers.Report.*;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;

/** MySQL Connector/J and MariaDB Connector/J: the argument, `mysql` or `mariadb`, says which. */
public final class MysqlChecks {
  private static final String PASSWORD = System.getenv("MYSQL_PWD");
  private static final String DATABASE = System.getenv("MYSQL_DATABASE");
  private static boolean mariadb;
  /** The authority as a key store, for Connector/J, which reads no PEM. */
  private static Path trusted;

  private static final byte[] EVERY_BYTE = new byte[256];

  static {
    for (int i = 0; i < 256; i++) EVERY_BYTE[i] = (byte) i;
  }

  private static Connection open(String... settings) throws SQLException {
    var environment = System.getenv();
    var properties = new Properties();
    properties.setProperty("user", environment.get("MYSQL_USER"));
    properties.setProperty("password", PASSWORD);
    boolean tls = "verify-full".equals(environment.get("MYSQL_SSL_MODE"));
    if (mariadb) {
      properties.setProperty("sslMode", tls ? "verify-full" : "disable");
      if (tls) properties.setProperty("serverSslCert", environment.get("MYSQL_SSL_CA"));
    } else if (tls) {
      properties.setProperty("sslMode", "VERIFY_IDENTITY");
      properties.setProperty("trustCertificateKeyStoreUrl", trusted.toUri().toString());
      properties.setProperty("trustCertificateKeyStoreType", "PKCS12");
      properties.setProperty("trustCertificateKeyStorePassword", "trusted");
    } else {
      properties.setProperty("sslMode", "DISABLED");
    }
    // In clear, caching_sha2_password's full way needs the server's key.
    if (!tls) properties.setProperty("allowPublicKeyRetrieval", "true");
    for (int i = 0; i < settings.length; i += 2) properties.setProperty(settings[i], settings[i + 1]);
    var url = "jdbc:" + (mariadb ? "mariadb" : "mysql") + "://" + environment.get("MYSQL_HOST") + ":"
        + environment.get("MYSQL_TCP_PORT") + "/" + DATABASE;
    return DriverManager.getConnection(url, properties);
  }

  private static void trust() throws Exception {
    trusted = Files.createTempFile("trusted", ".p12");
    trusted.toFile().deleteOnExit();
    var store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    try (InputStream pem = Files.newInputStream(Path.of(System.getenv("MYSQL_SSL_CA")))) {
      store.setCertificateEntry("authority", CertificateFactory.getInstance("X.509").generateCertificate(pem));
    }
    try (OutputStream file = Files.newOutputStream(trusted)) {
      store.store(file, "trusted".toCharArray());
    }
  }

  private static void fails(int code, String state, Action action) {
    equal(Report.fails(state, action).getErrorCode(), code);
  }

  /** The connection with COM_STMT_PREPARE or with the values in the text. */
  private static Connection prepares(boolean onServer) throws SQLException {
    // Without noAccessToProcedureBodies Connector/J reads mysql.proc, which only administrators may.
    return open("useServerPrepStmts", String.valueOf(onServer), "allowMultiQueries", "true",
        "noAccessToProcedureBodies", "true");
  }

  private static void connect(Connection db) throws Exception {
    equal(number(db, "SELECT 1"), 1L);
    equal(db.isValid(5), true);
    // Where the server caches, the second login takes another way than the first.
    open().close();
    fails(1045, "28000", () -> open("password", "wrong " + PASSWORD).close());
  }

  private static boolean isMariadb(Connection db) throws SQLException {
    return db.getMetaData().getDatabaseProductName().equals("MariaDB");
  }

  private static long number(Connection db, String sql, Object... parameters) throws SQLException {
    return ((Number) value(db, sql, parameters)).longValue();
  }

  private static void types(Connection unused) throws Exception {
    var columns = "tiny, small, medium, big, unsigned_big, single, twice, exact, bits, year, day, time, moment, stamp, "
        + "fixed, text, bytes, choice, several";
    var same = String.join(" AND ",
        Arrays.stream(columns.split(", ")).map((name) -> "a." + name + " <=> b." + name).toList());
    for (boolean onServer : new boolean[] {false, true}) {
      try (Connection db = prepares(onServer)) {
        execute(db, "SET time_zone = '+00:00'");
        try (PreparedStatement statement = db.prepareStatement("SELECT * FROM typed WHERE id = ?")) {
          statement.setInt(1, 1);
          try (ResultSet row = statement.executeQuery()) {
            row.next();
            equal(row.getInt("tiny"), -128);
            equal(row.getShort("small"), (short) -32768);
            equal(row.getInt("medium"), -8388608);
            equal(row.getLong("big"), Long.MIN_VALUE);
            equal(row.getObject("unsigned_big", BigInteger.class), new BigInteger("18446744073709551615"));
            equal(row.getFloat("single"), 0.5f);
            equal(row.getDouble("twice"), 1.5e308);
            equal(row.getBigDecimal("exact"), new BigDecimal("-12345678901234567890.01234567890123456789"));
            equal(row.getBytes("bits"), new byte[] {2, 1});
            equal(row.getString("year").substring(0, 4), "2155");
            equal(row.getObject("day", LocalDate.class), LocalDate.of(2024, 2, 29));
            equal(row.getString("time"), "12:34:56.789012");
            equal(row.getObject("moment", LocalDateTime.class), LocalDateTime.parse("1999-12-31T23:59:59.999999"));
            equal(row.getString("stamp"), "2026-11-23 12:00:00.123456");
            equal(row.getString("text"), "häß 漢字 🐘 'quoted' \\ \n");
            equal(row.getBytes("bytes"), EVERY_BYTE);
            equal(row.getString("choice") + row.getString("several"), "bx,z");
            equal(row.getString("document"), "{\"a\": [1, null, \"ü\"]}");
          }
          statement.setInt(1, 2);
          try (ResultSet row = statement.executeQuery()) {
            row.next();
            equal(row.getLong("big"), Long.MAX_VALUE);
            equal(row.getString("time"), "-838:59:58.000001");
            equal(row.getString("text"), "");
          }
          statement.setInt(1, 3);
          try (ResultSet row = statement.executeQuery()) {
            row.next();
            for (String name : columns.split(", ")) equal(row.getString(name), null);
          }
        }
        if (mariadb && onServer && !isMariadb(db)) {
          leavesOut("what it writes in binary MySQL takes for a malformed packet");
          continue;
        }
        execute(db, "CREATE TEMPORARY TABLE written LIKE typed");
        var into = "INSERT INTO written (id, " + columns + ") VALUES (1" + ", ?".repeat(19) + ")";
        try (PreparedStatement statement = db.prepareStatement(into)) {
          var values = new Object[] {(byte) -128, (short) -32768, -8388608, Long.MIN_VALUE,
              new BigDecimal("18446744073709551615"), 0.5f, 1.5e308,
              new BigDecimal("-12345678901234567890.01234567890123456789"), new byte[] {2, 1}, 2155,
              LocalDate.of(2024, 2, 29), "12:34:56.789012", "1999-12-31 23:59:59.999999",
              "2026-11-23 12:00:00.123456", "fixed", "häß 漢字 🐘 'quoted' \\ \n", EVERY_BYTE, "b", "x,z"};
          for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
          equal(statement.executeUpdate(), 1);
        }
        equal(number(db, "SELECT COUNT(*) FROM typed a JOIN written b ON " + same + " WHERE a.id = 1"), 1L);
      }
    }
  }

  private static void simple(Connection db) throws Exception {
    equal(value(db, "SELECT 'x;y' -- a comment"), "x;y");
    execute(db, "CREATE TEMPORARY TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY, n INT)");
    try (Statement statement = db.createStatement()) {
      var insert = "INSERT INTO counted (n) VALUES (1), (2), (3)";
      equal(statement.executeUpdate(insert, Statement.RETURN_GENERATED_KEYS), 3);
      try (ResultSet keys = statement.getGeneratedKeys()) {
        keys.next();
        equal(keys.getInt(1), 1);
      }
      equal(statement.executeUpdate("UPDATE counted SET n = 2 WHERE n > 1"), 2);
    }
  }

  private static void prepared(Connection unused) throws Exception {
    try (Connection db = prepares(true);
        PreparedStatement statement = db.prepareStatement("SELECT ? * 2 AS n, ? AS t")) {
      for (int n = 0; n < 20; n++) {
        statement.setInt(1, n);
        statement.setString(2, "text " + n);
        try (ResultSet row = statement.executeQuery()) {
          row.next();
          equal(row.getInt("n"), n * 2);
          equal(row.getString("t"), "text " + n);
        }
      }
      // MariaDB's sends the preparation and the execution together.
      fails(1064, "42000", () -> {
        try (PreparedStatement broken = db.prepareStatement("SELEC ?")) {
          broken.setInt(1, 1);
          broken.execute();
        }
      });
      equal(number(db, "SELECT ?", 3), 3L);
    }
  }

  private static void errors(Connection db) throws Exception {
    fails(1064, "42000", () -> execute(db, "SELEC 1"));
    fails(1146, "42S02", () -> execute(db, "SELECT * FROM nowhere"));
    execute(db, "CREATE TEMPORARY TABLE uniq (id INT PRIMARY KEY)");
    execute(db, "INSERT INTO uniq VALUES (1)");
    fails(1062, "23000", () -> execute(db, "INSERT INTO uniq VALUES (1)"));
    fails(1062, "23000", () -> db.prepareStatement("INSERT INTO uniq VALUES (1)").executeUpdate());
    equal(number(db, "SELECT COUNT(*) FROM uniq"), 1L);
    try (Statement statement = db.createStatement()) {
      statement.execute("SELECT CAST('1x' AS SIGNED)");
      equal(statement.getWarnings().getErrorCode(), 1292);
    }
  }

  private static void transactions(Connection db) throws Exception {
    execute(db, "CREATE TEMPORARY TABLE kept (id INT) ENGINE = InnoDB");
    db.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
    equal(db.getTransactionIsolation(), Connection.TRANSACTION_SERIALIZABLE);
    db.setAutoCommit(false);
    execute(db, "INSERT INTO kept VALUES (1)");
    var savepoint = db.setSavepoint("inside");
    execute(db, "INSERT INTO kept VALUES (2)");
    db.rollback(savepoint);
    execute(db, "INSERT INTO kept VALUES (3)");
    db.commit();
    execute(db, "INSERT INTO kept VALUES (4)");
    db.rollback();
    equal(value(db, "SELECT GROUP_CONCAT(id ORDER BY id) FROM kept"), "1,3");
  }

  private static List<List<String>> results(Statement statement, boolean rows) throws SQLException {
    List<List<String>> every = new ArrayList<>();
    while (true) {
      if (rows) {
        List<String> result = new ArrayList<>();
        try (ResultSet set = statement.getResultSet()) {
          while (set.next()) result.add(set.getString(1));
        }
        every.add(result);
      } else if (statement.getUpdateCount() == -1) {
        return every;
      }
      rows = statement.getMoreResults();
    }
  }

  private static void multi(Connection unused) throws Exception {
    for (boolean onServer : new boolean[] {false, true}) {
      try (Connection db = prepares(onServer); Statement statement = db.createStatement()) {
        var sql = "SELECT 'x;y'; DO 1; SELECT 'b' UNION SELECT 'c'";
        equal(results(statement, statement.execute(sql)), List.of(List.of("x;y"), List.of("b", "c")));
        fails(1064, "42000", () -> results(statement, statement.execute("SELECT 1; SELEC 2; SELECT 3")));
        equal(results(statement, statement.execute("CALL two_results(4)")), List.of(List.of("4"), List.of("5")));
        fails(1644, "45000", () -> results(statement, statement.execute("CALL fails_late()")));
        equal(results(statement, statement.execute("SELECT 3")), List.of(List.of("3")));
        if (mariadb) {
          leavesOut("it may wait for ever for the answer to what it prepares behind a CALL");
          continue;
        }
        try (var call = db.prepareCall("{CALL two_results(?)}")) {
          call.setInt(1, 4);
          equal(results(call, call.execute()), List.of(List.of("4"), List.of("5")));
        }
        try (var call = db.prepareCall("{CALL twice(?, ?)}")) {
          call.setInt(1, 21);
          call.registerOutParameter(2, java.sql.Types.INTEGER);
          call.execute();
          equal(call.getInt(2), 42);
        }
      }
    }
  }

  private static void batch(Connection unused) throws Exception {
    var settings = new String[][] {
      {"useServerPrepStmts", "true"}, {"rewriteBatchedStatements", "true"}, {"useBulkStmts", "true"},
    };
    for (String[] setting : settings) {
      // Each of the drivers has two of the three.
      if (setting[0].equals(mariadb ? "rewriteBatchedStatements" : "useBulkStmts")) continue;
      try (Connection db = open(setting)) {
        execute(db, "CREATE TEMPORARY TABLE batch (n INT PRIMARY KEY, t TEXT)");
        try (PreparedStatement statement = db.prepareStatement("INSERT INTO batch VALUES (?, ?)")) {
          for (int n = 0; n < 500; n++) {
            statement.setInt(1, n);
            statement.setString(2, n % 7 == 0 ? null : "text of " + n);
            statement.addBatch();
          }
          equal(statement.executeBatch().length, 500);
          for (int n : new int[] {600, 5, 601}) {
            statement.setInt(1, n);
            statement.setString(2, "again");
            statement.addBatch();
          }
          try {
            statement.executeBatch();
            throw new AssertionError("no error");
          } catch (BatchUpdateException error) {
            equal(error.getErrorCode(), 1062);
          }
        }
        equal(number(db, "SELECT COUNT(t) FROM batch WHERE n < 600"), 428L);
      }
    }
  }

  private static void cursor(Connection unused) throws Exception {
    // Connector/J opens a cursor at the server and fetches; MariaDB's reads the socket portion by portion.
    try (Connection db = open("useServerPrepStmts", "true", mariadb ? "useCompression" : "useCursorFetch",
            mariadb ? "false" : "true");
        PreparedStatement statement = db.prepareStatement("SELECT id FROM typed WHERE id > ? ORDER BY id")) {
      statement.setFetchSize(2);
      for (int round = 0; round < 2; round++) {
        statement.setInt(1, 0);
        try (ResultSet rows = statement.executeQuery()) {
          for (int n = 1; n <= 3; n++) {
            equal(rows.next(), true);
            equal(rows.getInt(1), n);
          }
          equal(rows.next(), false);
        }
        statement.setInt(1, 1);
        try (ResultSet rows = statement.executeQuery()) {
          rows.next();
        }
      }
      equal(number(db, "SELECT 1"), 1L);
    }
  }

  private static void metadata(Connection db) throws Exception {
    var metadata = db.getMetaData();
    List<String> columns = new ArrayList<>();
    try (ResultSet rows = metadata.getColumns(DATABASE, null, "typed", "%")) {
      while (rows.next()) columns.add(rows.getString("COLUMN_NAME"));
    }
    equal(columns.size(), 21);
    equal(columns.get(0), "id");
    try (ResultSet rows = metadata.getPrimaryKeys(DATABASE, null, "typed")) {
      equal(rows.next(), true);
      equal(rows.getString("COLUMN_NAME"), "id");
    }
    try (ResultSet rows = metadata.getProcedures(DATABASE, null, "%")) {
      equal(rows.next(), true);
    }
  }

  private static void cancel(Connection db) throws Exception {
    var sleeps = "SELECT COUNT(*) FROM refused_table WHERE SLEEP(30)";
    try (Statement statement = db.createStatement()) {
      var cancelling = CompletableFuture.runAsync(() -> {
        try {
          Thread.sleep(300);
          statement.cancel();
        } catch (Exception error) {
          throw new RuntimeException(error);
        }
      });
      try {
        statement.executeQuery(sleeps);
        throw new AssertionError("no error");
      } catch (SQLException error) {
        // Connector/J reports a cancellation of its own, without the server's number.
        if (mariadb) equal(error.getErrorCode(), 1317);
      }
      cancelling.join();
    }
    equal(number(db, "SELECT 1"), 1L);
    try (Statement statement = db.createStatement()) {
      statement.setQueryTimeout(1);
      try {
        statement.executeQuery(sleeps);
        throw new AssertionError("no error");
      } catch (SQLException error) {
        equal(error instanceof java.sql.SQLTimeoutException, true);
      }
    }
    equal(number(db, "SELECT 1"), 1L);
  }

  private static void infile(Connection unused) throws Exception {
    Path file = Files.createTempFile("rows", ".csv");
    Files.writeString(file, "1,one\n2,two\n");
    try (Connection db = open(mariadb ? "allowLocalInfile" : "allowLoadLocalInfile", "true")) {
      execute(db, "CREATE TEMPORARY TABLE loaded (n INT, t TEXT)");
      var load = "LOAD DATA LOCAL INFILE '" + file + "' INTO TABLE loaded FIELDS TERMINATED BY ','";
      boolean refused = false;
      try {
        execute(db, load);
      } catch (SQLException error) {
        refused = true;
        if (DIRECT) throw error;
      }
      equal(refused, !DIRECT);
      equal(number(db, "SELECT COUNT(*) FROM loaded"), DIRECT ? 2L : 0L);
    } finally {
      Files.delete(file);
    }
  }

  private static void big(Connection unused) throws Exception {
    // Two packets each way.
    byte[] bytes = "sluice".repeat(3_000_000).getBytes(StandardCharsets.UTF_8);
    try (Connection db = open("useServerPrepStmts", "true", "maxAllowedPacket", "67108864");
        PreparedStatement statement = db.prepareStatement("SELECT ?")) {
      statement.setBytes(1, bytes);
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        equal(Arrays.equals(row.getBytes(1), bytes), true);
      }
      // In a prepared statement, a stream goes by COM_STMT_SEND_LONG_DATA.
      statement.setBinaryStream(1, new ByteArrayInputStream(bytes, 0, 1_000_000));
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        equal(row.getBytes(1).length, 1_000_000);
      }
      // A packet that is full to its last byte has an empty one behind it: one byte of command, the rest is text.
      int filling = 0xfffffe - "SELECT LENGTH('') AS n".length();
      try (Statement plain = db.createStatement();
          ResultSet row = plain.executeQuery("SELECT LENGTH('" + "x".repeat(filling) + "') AS n")) {
        row.next();
        equal(row.getInt(1), filling);
      }
    }
  }

  private static void compression(Connection unused) throws Exception {
    try (Connection db = open("useCompression", "true")) {
      if (DIRECT) {
        try (Statement statement = db.createStatement();
            ResultSet row = statement.executeQuery("SHOW STATUS LIKE 'Compression'")) {
          row.next();
          equal(row.getString(2), "ON");
        }
      }
      equal(value(db, "SELECT ?", "x".repeat(100_000)), "x".repeat(100_000));
      equal(value(db, "SELECT REPEAT('y', 1000000)"), "y".repeat(1_000_000));
    }
  }

  private static void reset(Connection db) throws Exception {
    execute(db, "SET @kept = 1");
    if (mariadb) {
      if (!isMariadb(db)) {
        leavesOut("on MySQL it does not reset at all");
        return;
      }
      try (var pool = new org.mariadb.jdbc.MariaDbPoolDataSource()) {
        pool.setUser(System.getenv("MYSQL_USER"));
        pool.setPassword(PASSWORD);
        boolean tls = "verify-full".equals(System.getenv("MYSQL_SSL_MODE"));
        pool.setUrl(db.getMetaData().getURL() + "?maxPoolSize=1&useResetConnection=true&allowPublicKeyRetrieval=true"
            + (tls ? "&sslMode=verify-full&serverSslCert=" + System.getenv("MYSQL_SSL_CA") : ""));
        long identity;
        try (Connection pooled = pool.getConnection()) {
          execute(pooled, "SET @kept = 1");
          identity = number(pooled, "SELECT CONNECTION_ID()");
        }
        try (Connection pooled = pool.getConnection()) {
          equal(number(pooled, "SELECT CONNECTION_ID()"), identity);
          equal(value(pooled, "SELECT @kept"), null);
        }
      }
      return;
    }
    var session = db.unwrap(com.mysql.cj.jdbc.JdbcConnection.class);
    session.resetServerState();
    equal(value(db, "SELECT @kept"), null);
    execute(db, "SET @kept = 1");
    session.changeUser(System.getenv("MYSQL_USER"), PASSWORD);
    equal(value(db, "SELECT @kept"), null);
    equal(value(db, "SELECT DATABASE()"), DATABASE);
  }

  private static void hinted(Connection db) throws SQLException {
    try (Statement statement = db.createStatement();
        ResultSet rows = statement.executeQuery("SHOW WARNINGS")) {
      var messages = new StringBuilder();
      while (rows.next()) messages.append(rows.getString(3)).append('\n');
      if (!messages.toString().contains("Add a WHERE clause")) throw new AssertionError("no hint in " + messages);
    }
  }

  private static void refusal(Connection unused) throws Exception {
    needsRules();
    for (boolean onServer : new boolean[] {false, true}) {
      try (Connection db = prepares(onServer)) {
        fails(1142, "42000", () -> execute(db, "DELETE FROM refused_table"));
        hinted(db);
        fails(1142, "42000", () -> execute(db, "SELECT 1; DELETE FROM refused_table"));
        fails(1142, "42000", () -> db.prepareStatement("DELETE FROM refused_table").executeUpdate());
        fails(1142, "42000", () -> {
          try (Statement batch = db.createStatement()) {
            batch.addBatch("SELECT 1");
            batch.addBatch("DELETE FROM refused_table");
            batch.executeBatch();
          }
        });
        equal(number(db, "SELECT COUNT(*) FROM refused_table"), 3L);
        equal(verdict(db, "", null), "deny");
        equal(verdict(db, " WHERE id = ?", 1), "allow");
      }
    }
  }

  /** What would become of a DELETE, asked of Sluice. */
  private static String verdict(Connection db, String condition, Integer value) throws Exception {
    String question = "EXPLAIN FORMAT=SLUICE DELETE FROM `refused_table`" + condition;
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
    execute(db, "CREATE TEMPORARY TABLE undone (id INT) ENGINE = InnoDB");
    // An error does not end a transaction: what came before it is still there, and can be kept or dropped.
    db.setAutoCommit(false);
    for (boolean keeps : new boolean[] {true, false}) {
      execute(db, "INSERT INTO undone VALUES (1)");
      fails(1142, "42000", () -> execute(db, "DELETE FROM refused_table"));
      hinted(db);
      execute(db, "INSERT INTO undone VALUES (2)");
      if (keeps) db.commit();
      else db.rollback();
    }
    equal(number(db, "SELECT COUNT(*) FROM undone"), 2L);
  }

  private static void check(String name, Check check) {
    report(name, MysqlChecks::open, check);
  }

  public static void main(String[] arguments) throws Exception {
    mariadb = arguments[0].equals("mariadb");
    trust();
    check("connect", MysqlChecks::connect);
    check("types", MysqlChecks::types);
    check("simple", MysqlChecks::simple);
    check("prepared", MysqlChecks::prepared);
    check("errors", MysqlChecks::errors);
    check("transactions", MysqlChecks::transactions);
    check("multi", MysqlChecks::multi);
    check("batch", MysqlChecks::batch);
    check("cursor", MysqlChecks::cursor);
    check("metadata", MysqlChecks::metadata);
    check("cancel", MysqlChecks::cancel);
    check("infile", MysqlChecks::infile);
    check("big", MysqlChecks::big);
    check("compression", MysqlChecks::compression);
    check("reset", MysqlChecks::reset);
    check("refusal", MysqlChecks::refusal);
    check("refusal-in-transaction", MysqlChecks::refusalInTransaction);
  }
}
