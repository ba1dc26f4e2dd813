-- What clients ask MySQL and MariaDB at login and about the schema: Connector/J and MariaDB Connector/J (DatabaseMetaData),
-- Django, Rails, SQLAlchemy, Drizzle, TypeORM, Sequelize, Knex, Kysely, mysqldump --no-data. One of each kind, in our words,
-- with the functions, settings and relations that the tools' own queries use. Each ends in a line with a semicolon at its end.
-- Login
SET NAMES utf8mb4;
SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci';
SET autocommit=0;
SET time_zone = '+00:00';
SET character_set_results = utf8mb4;
SET sql_mode='STRICT_TRANS_TABLES';
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET SESSION TRANSACTION READ ONLY;
SET sql_mode=CONCAT(@@sql_mode,',STRICT_TRANS_TABLES'), session_track_schema=1, names utf8mb4;
SET session_track_system_variables=CONCAT('autocommit,character_set_client',IF(LOCATE('*',@@session_track_system_variables)>0 OR FIND_IN_SET('last_gtid',LOWER(REPLACE(@@session_track_system_variables,' ','')))>0,',last_gtid',''));
SET @@SESSION.sql_mode = CONCAT(CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), ',NO_AUTO_VALUE_ON_ZERO'), @@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483;
/* a driver */SELECT @@session.auto_increment_increment AS auto_increment_increment, @@character_set_client AS character_set_client, @@collation_server AS collation_server, @@init_connect AS init_connect, @@interactive_timeout AS interactive_timeout, @@license AS license, @@lower_case_table_names AS lower_case_table_names, @@max_allowed_packet AS max_allowed_packet, @@net_write_timeout AS net_write_timeout, @@sql_mode AS sql_mode, @@system_time_zone AS system_time_zone, @@time_zone AS time_zone, @@transaction_isolation AS transaction_isolation, @@wait_timeout AS wait_timeout;
SELECT VERSION(), @@sql_mode, @@default_storage_engine, @@sql_auto_is_null, CONVERT_TZ('2001-01-01 01:00:00', 'UTC', 'UTC') IS NOT NULL;
SELECT @@READ_ONLY;
SELECT USER(), CURRENT_USER(), DATABASE(), SCHEMA(), CONNECTION_ID();
-- Tables and columns
SHOW DATABASES;
SHOW SCHEMAS;
SHOW TABLES;
SHOW FULL TABLES FROM `shop` WHERE Table_type != 'VIEW';
SHOW TABLE STATUS LIKE 'orders';
SHOW FULL COLUMNS FROM `orders`;
SHOW FULL FIELDS FROM `orders` FROM `shop`;
SHOW KEYS FROM `orders`;
SHOW INDEX FROM `shop`.`orders` WHERE Key_name = 'PRIMARY';
SHOW CREATE TABLE `shop`.`orders`;
SHOW CREATE VIEW `big_orders`;
SHOW TRIGGERS LIKE 'orders';
SHOW PROCEDURE STATUS WHERE Db = 'shop';
SHOW FUNCTION STATUS WHERE Db = DATABASE();
SHOW CREATE PROCEDURE p;
SHOW EVENTS;
SHOW VARIABLES LIKE 'lower_case_%';
SHOW ENGINES;
SHOW COLLATION WHERE `Charset` = 'utf8mb4';
DESCRIBE `orders`;
SELECT table_name FROM (SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = database()) _subquery WHERE _subquery.table_type = 'BASE TABLE';
SELECT column_name, data_type, character_maximum_length, numeric_precision, extra, column_default, CASE WHEN collation_name = 'utf8mb4_general_ci' THEN NULL ELSE collation_name END AS collation_name, CASE WHEN column_type LIKE '% unsigned' THEN 1 ELSE 0 END AS is_unsigned FROM information_schema.columns WHERE table_name = 'orders' AND table_schema = DATABASE();
SELECT generation_expression FROM information_schema.columns WHERE table_schema = database() AND table_name = 'orders' AND column_name = 'doubled';
SELECT TABLE_SCHEMA, TABLE_NAME, IF(TABLE_SCHEMA IN ('mysql', 'performance_schema', 'sys'), IF(TABLE_TYPE = 'BASE TABLE', 'SYSTEM TABLE', TABLE_TYPE), TABLE_TYPE) AS TABLE_TYPE, TABLE_COMMENT REMARKS FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'shop' HAVING TABLE_TYPE IN ('BASE TABLE', 'VIEW') ORDER BY TABLE_TYPE, TABLE_SCHEMA, TABLE_NAME;
SELECT SCHEMA_NAME AS TABLE_CAT, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM INFORMATION_SCHEMA.SCHEMATA ORDER BY SCHEMA_NAME;
SELECT `c`.`COLUMN_NAME`, `t`.`TABLE_TYPE` FROM `information_schema`.`COLUMNS` `c` INNER JOIN `information_schema`.`TABLES` `t` ON `t`.`TABLE_SCHEMA` = `c`.`TABLE_SCHEMA` AND `t`.`TABLE_NAME` = `c`.`TABLE_NAME` WHERE `c`.`TABLE_SCHEMA` = database();
SELECT * FROM `INFORMATION_SCHEMA`.`COLUMNS` WHERE `TABLE_SCHEMA` = 'shop' AND `TABLE_NAME` = 'orders' UNION SELECT * FROM `INFORMATION_SCHEMA`.`COLUMNS` WHERE `TABLE_SCHEMA` = 'shop' AND `TABLE_NAME` = 'customers';
SELECT * FROM information_schema.VIEWS WHERE table_schema = 'shop';
SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME, COUNT(0) FROM INFORMATION_SCHEMA.TRIGGERS AS t WHERE t.EVENT_OBJECT_TABLE = 'orders' GROUP BY 1, 2;
-- Keys and constraints
SELECT fk.referenced_table_name AS 'to_table', fk.column_name AS 'column', rc.update_rule AS 'on_update', rc.delete_rule AS 'on_delete' FROM information_schema.referential_constraints rc JOIN information_schema.key_column_usage fk USING (constraint_schema, constraint_name) WHERE fk.referenced_column_name IS NOT NULL AND fk.table_schema = database() AND fk.table_name = 'orders';
SELECT kc.`constraint_name`, kc.`column_name`, c.`constraint_type` FROM information_schema.key_column_usage AS kc, information_schema.table_constraints AS c WHERE kc.table_schema = DATABASE() AND c.table_schema = kc.table_schema AND c.constraint_name = kc.constraint_name AND kc.table_name = 'orders' ORDER BY kc.`ordinal_position`;
SELECT cc.constraint_name AS 'name', cc.check_clause AS 'expression' FROM information_schema.check_constraints cc JOIN information_schema.table_constraints tc USING (constraint_schema, constraint_name) WHERE tc.table_schema = database() AND tc.table_name = 'orders';
SELECT `s`.* FROM (SELECT * FROM `INFORMATION_SCHEMA`.`STATISTICS` WHERE `TABLE_SCHEMA` = 'shop' AND `TABLE_NAME` = 'orders') `s` LEFT JOIN (SELECT * FROM `INFORMATION_SCHEMA`.`REFERENTIAL_CONSTRAINTS` WHERE `CONSTRAINT_SCHEMA` = 'shop') `rc` ON `s`.`INDEX_NAME` = `rc`.`CONSTRAINT_NAME` AND `s`.`TABLE_SCHEMA` = `rc`.`CONSTRAINT_SCHEMA` WHERE `s`.`INDEX_NAME` != 'PRIMARY' AND `rc`.`CONSTRAINT_NAME` IS NULL;
SELECT KCU.REFERENCED_TABLE_NAME PKTABLE_NAME, KCU.COLUMN_NAME FKCOLUMN_NAME, KCU.POSITION_IN_UNIQUE_CONSTRAINT KEY_SEQ, CASE UPDATE_RULE WHEN 'RESTRICT' THEN 1 WHEN 'NO ACTION' THEN 3 WHEN 'CASCADE' THEN 0 WHEN 'SET NULL' THEN 2 END UPDATE_RULE FROM INFORMATION_SCHEMA.KEY_COLUMN_USAGE KCU INNER JOIN INFORMATION_SCHEMA.REFERENTIAL_CONSTRAINTS RC ON KCU.CONSTRAINT_SCHEMA = RC.CONSTRAINT_SCHEMA AND KCU.CONSTRAINT_NAME = RC.CONSTRAINT_NAME WHERE KCU.TABLE_SCHEMA = 'shop';
SELECT TABLE_NAME, NON_UNIQUE, INDEX_NAME, SEQ_IN_INDEX, COLLATION AS ASC_OR_DESC, CARDINALITY FROM INFORMATION_SCHEMA.STATISTICS WHERE TABLE_SCHEMA = 'shop' AND TABLE_NAME = 'orders' ORDER BY NON_UNIQUE, INDEX_NAME;
-- Routines, privileges, words
SELECT ROUTINE_SCHEMA, ROUTINE_NAME, CASE ROUTINE_TYPE WHEN 'FUNCTION' THEN 2 WHEN 'PROCEDURE' THEN 1 ELSE 0 END PROCEDURE_TYPE, SPECIFIC_NAME FROM INFORMATION_SCHEMA.ROUTINES WHERE ROUTINE_SCHEMA = 'shop';
SELECT SPECIFIC_NAME, IFNULL(PARAMETER_NAME, '') AS COLUMN_NAME, IF(PARAMETER_MODE IS NULL, 5, 0) COLUMN_TYPE, DTD_IDENTIFIER FROM INFORMATION_SCHEMA.PARAMETERS WHERE SPECIFIC_SCHEMA = 'shop';
SELECT TABLE_NAME, COLUMN_NAME, GRANTEE, PRIVILEGE_TYPE AS PRIVILEGE, IS_GRANTABLE FROM INFORMATION_SCHEMA.COLUMN_PRIVILEGES WHERE TABLE_SCHEMA = 'shop';
SELECT TABLE_NAME, GRANTEE, PRIVILEGE_TYPE FROM INFORMATION_SCHEMA.TABLE_PRIVILEGES WHERE TABLE_SCHEMA = 'shop';
SELECT WORD FROM INFORMATION_SCHEMA.KEYWORDS WHERE RESERVED = 1 ORDER BY WORD;
SELECT ' ' TYPE_CAT, NULL TYPE_SCHEM, 0 DATA_TYPE FROM DUAL WHERE 1 = 0;
