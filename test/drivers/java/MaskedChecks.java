package sluice.drivers;

import static sluice.drivers.Report.*;

import java.io.ByteArrayOutputStream;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;
import org.postgresql.PGConnection;

/** pgjdbc decodes masked rows, in text and in binary format. */
public final class MaskedChecks {
  private static Connection open(String... settings) throws SQLException {
    var environment = System.getenv();
    var properties = new Properties();
    properties.setProperty("user", environment.get("PGUSER"));
    properties.setProperty("password", environment.get("PGPASSWORD"));
    properties.setProperty("sslmode", "disable");
    for (int i = 0; i < settings.length; i += 2) properties.setProperty(settings[i], settings[i + 1]);
    var url = "jdbc:postgresql://" + environment.get("PGHOST") + ":" + environment.get("PGPORT") + "/"
        + environment.get("PGDATABASE");
    return DriverManager.getConnection(url, properties);
  }

  private static void decoded(ResultSet rows) throws SQLException {
    int count = 0;
    for (; rows.next(); count++) {
      for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
        rows.getString(i);
        rows.getObject(i);
        var array = rows.getMetaData().getColumnTypeName(i).startsWith("_") ? rows.getArray(i) : null;
        if (array != null) array.getArray();
      }
    }
    equal(count, 2);
  }

  private static void decode(String table) throws Exception {
    var select = "SELECT * FROM " + table + " ORDER BY id";
    // A threshold of -1 asks for binary results at once; the simple protocol and binaryTransfer=false never do.
    for (String[] settings : new String[][] {
        {"prepareThreshold", "-1"}, {"binaryTransfer", "false"}, {"preferQueryMode", "simple"}}) {
      try (Connection db = open(settings)) {
        for (var sql : new String[] {select, "UPDATE " + table + " SET id = id RETURNING *"}) {
          try (PreparedStatement statement = db.prepareStatement(sql)) {
            for (int round = 0; round < 2; round++) decoded(statement.executeQuery());
          }
        }
        db.setAutoCommit(false);
        try (Statement statement = db.createStatement()) {
          statement.setFetchSize(1);
          decoded(statement.executeQuery(select));
        }
        db.commit();
        var out = new ByteArrayOutputStream();
        equal(db.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY " + table + " TO STDOUT", out), 2L);
      }
    }
  }

  public static void main(String[] arguments) {
    for (var table : System.getenv("MASKED_TABLES").split(" ")) {
      report(table, MaskedChecks::open, unused -> decode(table));
    }
  }
}
