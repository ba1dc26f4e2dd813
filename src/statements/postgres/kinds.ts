import type { TreeNode } from './parser.ts';

/** Statements whose command tag is not their node type spelt out. */
const NAMES: Readonly<Record<string, string | ((body: TreeNode) => string)>> = {
  SelectStmt: (body) => (body.intoClause === undefined ? 'SELECT' : 'SELECT INTO'),
  VariableSetStmt: (body) => (String(body.kind).startsWith('VAR_RESET') ? 'RESET' : 'SET'),
  VariableShowStmt: 'SHOW',
  TransactionStmt: (body) => TRANSACTION_KINDS[String(body.kind)] ?? 'TRANSACTION',
  DropStmt: (body) => `DROP ${objectType(body.removeType)}`,
  AlterTableStmt: (body) => `ALTER ${objectType(body.objtype)}`,
  RenameStmt: (body) => `ALTER ${objectType(body.renameType)} RENAME`,
  AlterOwnerStmt: (body) => `ALTER ${objectType(body.objectType)} OWNER`,
  AlterObjectSchemaStmt: (body) => `ALTER ${objectType(body.objectType)} SET SCHEMA`,
  DefineStmt: (body) => `CREATE ${objectType(body.kind)}`,
  CreateTableAsStmt: (body) => (body.objtype === 'OBJECT_MATVIEW' ? 'CREATE MATERIALIZED VIEW' : 'CREATE TABLE AS'),
  GrantStmt: (body) => (body.is_grant === true ? 'GRANT' : 'REVOKE'),
  GrantRoleStmt: (body) => (body.is_grant === true ? 'GRANT ROLE' : 'REVOKE ROLE'),
  FetchStmt: (body) => (body.ismove === true ? 'MOVE' : 'FETCH'),
  VacuumStmt: (body) => (body.is_vacuumcmd === true ? 'VACUUM' : 'ANALYZE'),
  ClosePortalStmt: 'CLOSE',
  DeclareCursorStmt: 'DECLARE CURSOR',
  CreateStmt: 'CREATE TABLE',
  CreateSeqStmt: 'CREATE SEQUENCE',
  CreateTrigStmt: 'CREATE TRIGGER',
  CreateEventTrigStmt: 'CREATE EVENT TRIGGER',
  CreatePLangStmt: 'CREATE LANGUAGE',
  CreateFdwStmt: 'CREATE FOREIGN DATA WRAPPER',
  CreateStatsStmt: 'CREATE STATISTICS',
  CreateAmStmt: 'CREATE ACCESS METHOD',
  CreateOpClassStmt: 'CREATE OPERATOR CLASS',
  CreateOpFamilyStmt: 'CREATE OPERATOR FAMILY',
  CompositeTypeStmt: 'CREATE TYPE',
  CreateEnumStmt: 'CREATE TYPE',
  CreateRangeStmt: 'CREATE TYPE',
  CreatedbStmt: 'CREATE DATABASE',
  CreateTableSpaceStmt: 'CREATE TABLESPACE',
  DropTableSpaceStmt: 'DROP TABLESPACE',
  DropdbStmt: 'DROP DATABASE',
  IndexStmt: 'CREATE INDEX',
  ViewStmt: 'CREATE VIEW',
  RuleStmt: 'CREATE RULE',
  AlterEnumStmt: 'ALTER TYPE',
  AlterSeqStmt: 'ALTER SEQUENCE',
  RefreshMatViewStmt: 'REFRESH MATERIALIZED VIEW',
  SecLabelStmt: 'SECURITY LABEL',
  ConstraintsSetStmt: 'SET CONSTRAINTS',
  CheckPointStmt: 'CHECKPOINT',
};

const TRANSACTION_KINDS: Readonly<Record<string, string>> = {
  TRANS_STMT_BEGIN: 'BEGIN',
  TRANS_STMT_START: 'START TRANSACTION',
  TRANS_STMT_COMMIT: 'COMMIT',
  TRANS_STMT_ROLLBACK: 'ROLLBACK',
  TRANS_STMT_SAVEPOINT: 'SAVEPOINT',
  TRANS_STMT_RELEASE: 'RELEASE',
  TRANS_STMT_ROLLBACK_TO: 'ROLLBACK TO SAVEPOINT',
  TRANS_STMT_PREPARE: 'PREPARE TRANSACTION',
  TRANS_STMT_COMMIT_PREPARED: 'COMMIT PREPARED',
  TRANS_STMT_ROLLBACK_PREPARED: 'ROLLBACK PREPARED',
};

/** The name of a statement, upper case with spaces: `SELECT`, `DROP TABLE`, `CREATE INDEX`. */
export function statementKind(statement: TreeNode): string {
  for (const type in statement) {
    const name = NAMES[type];
    if (typeof name === 'string') return name;
    if (name !== undefined) return name(statement[type] as TreeNode);
    return type
      .replace(/Stmt$/, '')
      .replace(/([a-z])([A-Z])/g, '$1 $2')
      .toUpperCase();
  }
  return 'OPAQUE';
}

function objectType(type: unknown): string {
  const name = String(type).replace('OBJECT_', '').replaceAll('_', ' ');
  return name === 'MATVIEW' ? 'MATERIALIZED VIEW' : name;
}
