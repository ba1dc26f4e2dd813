package sluice.drivers;

import static sluice.drivers.Report.*;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Properties;

/** MySQL Connector/J and MariaDB Connector/J decode masked rows: the argument, `mysql` or `mariadb`, says which. */
public final class MaskedMysqlChecks {
  private static boolean mariadb;

  private static Connection open(String... settings) throws SQLException {
    var environment = System.getenv();
    var properties = new Properties();
    properties.setProperty("user", environment.get("MYSQL_USER"));
    properties.setProperty("password", environment.get("MYSQL_PWD"));
    properties.setProperty("sslMode", mariadb ? "disable" : "DISABLED");
    if (!mariadb) properties.setProperty("allowPublicKeyRetrieval", "true");
    for (int i = 0; i < settings.length; i += 2) properties.setProperty(settings[i], settings[i + 1]);
    var url = "jdbc:" + (mariadb ? "mariadb" : "mysql") + "://" + environment.get("MYSQL_HOST") + ":"
        + environment.get("MYSQL_TCP_PORT") + "/" + environment.get("MYSQL_DATABASE");
    return DriverManager.getConnection(url, properties);
  }

  private static void decoded(ResultSet rows) throws SQLException {
    int count = 0;
    for (; rows.next(); count++) {
      for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
        if (!mariadb) rows.getBytes(i);
        rows.getString(i);
        rows.getObject(i);
      }
    }
    equal(count, 2);
  }

  private static void decode(String table) throws Exception {
    var select = "SELECT * FROM " + table + " ORDER BY id";
    for (var onServer : new String[] {"false", "true"}) {
      try (Connection db = open("useServerPrepStmts", onServer, mariadb ? "cachePrepStmts" : "useCursorFetch", onServer)) {
        try (var statement = db.createStatement()) {
          decoded(statement.executeQuery(select));
        }
        for (int size : new int[] {0, 1}) {
          try (var statement = db.prepareStatement(select)) {
            statement.setFetchSize(size);
            for (int round = 0; round < 2; round++) decoded(statement.executeQuery());
          }
        }
      }
    }
  }

  public static void main(String[] arguments) {
    mariadb = arguments[0].equals("mariadb");
    for (var table : System.getenv("MASKED_TABLES").split(" ")) {
      report(table, MaskedMysqlChecks::open, unused -> decode(table));
    }
  }
}
