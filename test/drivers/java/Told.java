package sluice.drivers;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** pgjdbc and both Connectors/J as tests tell them, see ../told-clients.ts. */
public final class Told {
  /** One connection, and the thread that waits for it. */
  private static final class Link {
    final ExecutorService thread = Executors.newSingleThreadExecutor();
    volatile Connection db;
    volatile Statement running;

    int open(Map<String, List<String>> command) throws SQLException {
      var driver = one(command, "driver");
      var properties = new Properties();
      properties.setProperty("user", one(command, "user"));
      properties.setProperty("password", one(command, "password"));
      if (driver.equals("postgres")) {
        properties.setProperty("sslmode", "disable");
      } else {
        properties.setProperty("sslMode", driver.equals("mysql") ? "DISABLED" : "disable");
        properties.setProperty("allowPublicKeyRetrieval", "true");
        properties.setProperty("useServerPrepStmts", "true");
      }
      for (var setting : command.getOrDefault("setting", List.of())) {
        properties.setProperty(setting.substring(0, setting.indexOf('=')), setting.substring(setting.indexOf('=') + 1));
      }
      var scheme = driver.equals("postgres") ? "postgresql" : driver;
      db = DriverManager.getConnection(
          "jdbc:" + scheme + "://" + one(command, "host") + ":" + one(command, "port") + "/" + one(command, "database"),
          properties);
      return 0;
    }

    int run(Map<String, List<String>> command) throws SQLException {
      var values = command.getOrDefault("value", List.of());
      if (values.isEmpty()) {
        try (Statement statement = db.createStatement()) {
          running = statement;
          statement.execute(one(command, "sql"));
          return Math.max(statement.getUpdateCount(), 0);
        }
      }
      try (PreparedStatement statement = db.prepareStatement(one(command, "sql"))) {
        running = statement;
        for (int i = 0; i < values.size(); i++) statement.setInt(i + 1, Integer.parseInt(values.get(i)));
        return statement.executeUpdate();
      }
    }

    /** One statement with each value in turn, or several statements. */
    int batch(Map<String, List<String>> command) throws SQLException {
      int rows = 0;
      if (command.containsKey("value")) {
        try (PreparedStatement statement = db.prepareStatement(one(command, "sql"))) {
          for (var value : command.get("value")) {
            statement.setInt(1, Integer.parseInt(value));
            statement.addBatch();
          }
          for (int count : statement.executeBatch()) rows += Math.max(count, 0);
        }
        return rows;
      }
      try (Statement statement = db.createStatement()) {
        for (var sql : command.get("sql")) statement.addBatch(sql);
        for (int count : statement.executeBatch()) rows += Math.max(count, 0);
      }
      return rows;
    }
  }

  private interface Action {
    int run() throws Exception;
  }

  private static final Map<String, Link> connections = new ConcurrentHashMap<>();

  private static String one(Map<String, List<String>> command, String name) {
    return command.get(name).get(0);
  }

  private static void answer(String id, Action action) {
    String fields;
    try {
      fields = "\"rows\": " + action.run();
    } catch (SQLException error) {
      // MySQL's own number, where there is one.
      var code = error.getErrorCode() == 0 ? String.valueOf(error.getSQLState()) : String.valueOf(error.getErrorCode());
      fields = "\"code\": " + Report.quoted(code) + ", \"message\": " + Report.quoted(String.valueOf(error.getMessage()));
    } catch (Exception error) {
      fields = "\"code\": \"\", \"message\": " + Report.quoted(String.valueOf(error));
    }
    synchronized (connections) {
      System.out.println("{\"id\": " + id + ", " + fields + "}");
    }
  }

  private static void obey(Map<String, List<String>> command) {
    var id = one(command, "id");
    var link = connections.computeIfAbsent(one(command, "on"), name -> new Link());
    switch (one(command, "do")) {
      case "open" -> link.thread.execute(() -> answer(id, () -> link.open(command)));
      case "run" -> link.thread.execute(() -> answer(id, () -> link.run(command)));
      case "batch" -> link.thread.execute(() -> answer(id, () -> link.batch(command)));
      case "cancel" -> new Thread(() -> answer(id, () -> {
        link.running.cancel();
        return 0;
      })).start();
      default -> new Thread(() -> answer(id, () -> {
        link.db.abort(Runnable::run);
        return 0;
      })).start();
    }
  }

  public static void main(String[] args) throws Exception {
    var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = input.readLine()) != null; ) {
      var command = new HashMap<String, List<String>>();
      for (var pair : line.split("&")) {
        int equals = pair.indexOf('=');
        command.computeIfAbsent(pair.substring(0, equals), name -> new ArrayList<>())
            .add(URLDecoder.decode(pair.substring(equals + 1), StandardCharsets.UTF_8));
      }
      obey(command);
    }
    System.exit(0);
  }
}
