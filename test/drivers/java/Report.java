package sluice.drivers;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/** Runs checks and prints one line of JSON for each, as ../README.md describes. */
final class Report {
  interface Check {
    void run(Connection db) throws Exception;
  }

  interface Action {
    void run() throws SQLException;
  }

  interface Opening {
    Connection open() throws SQLException;
  }

  private static final class Skipped extends RuntimeException {
    Skipped() {
      super("skipped: direct");
    }
  }

  static final boolean DIRECT = "direct".equals(System.getenv("DRIVER_TARGET"));

  /** What the check that runs leaves out, and why. */
  private static final List<String> leftOut = new ArrayList<>();

  /** A driver cannot do it, directly either: the report says so. */
  static void leavesOut(String what) {
    leftOut.add(what);
  }

  static void needsRules() {
    if (DIRECT) throw new Skipped();
  }

  static void equal(Object actual, Object expected) {
    if (!Objects.deepEquals(actual, expected)) {
      throw new AssertionError("got " + actual + ", expected " + expected);
    }
  }

  static SQLException fails(String state, Action action) {
    try {
      action.run();
    } catch (SQLException error) {
      equal(error.getSQLState(), state);
      return error;
    }
    throw new AssertionError("no error where " + state + " is expected");
  }

  static void execute(Connection db, String sql) throws SQLException {
    try (Statement statement = db.createStatement()) {
      statement.execute(sql);
    }
  }

  static Object value(Connection db, String sql, Object... parameters) throws SQLException {
    try (PreparedStatement statement = db.prepareStatement(sql)) {
      for (int i = 0; i < parameters.length; i++) statement.setObject(i + 1, parameters[i]);
      try (ResultSet rows = statement.executeQuery()) {
        rows.next();
        return rows.getObject(1);
      }
    }
  }

  /** Runs one check on a connection of its own. */
  static void report(String name, Opening opening, Check check) {
    String detail = "";
    boolean ok = true;
    leftOut.clear();
    try (Connection db = opening.open()) {
      check.run(db);
      if (!leftOut.isEmpty()) detail = "left out: " + String.join("; ", leftOut);
    } catch (Skipped skipped) {
      detail = skipped.getMessage();
    } catch (Throwable failure) {
      var trace = new StringWriter();
      failure.printStackTrace(new PrintWriter(trace));
      detail = trace.toString();
      ok = false;
    }
    System.out.println("{\"check\": \"" + name + "\", \"ok\": " + ok + ", \"detail\": " + quoted(detail) + "}");
  }

  static String quoted(String text) {
    var json = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      if (c == '"' || c == '\\') json.append('\\').append(c);
      else if (c < ' ') json.append(String.format("\\u%04x", (int) c));
      else json.append(c);
    }
    return json.append('"').toString();
  }
}
