import type { Lineage } from '../facts.ts';
import { createdCode, functionCode } from './code.ts';
import type { EffectWalk } from './effects.ts';
import type { TreeNode } from './parser.ts';
import { listOf, nameParts, nodesIn, only, text } from './tree.ts';
import { shapeOf } from './views.ts';

/**
 * Changes of the schema after which values of a column show under another name, or decide whether the change succeeds:
 * what marks a column marks it by its name. They count as copies of the column.
 */

const UNKNOWN: Lineage = { from: 'unknown', columns: [] };

/** Sub-commands of ALTER TABLE that neither move, name, compute nor test stored values. */
const HARMLESS: ReadonlySet<string> = new Set(
  `AddColumn DropColumn ColumnDefault CookedColumnDefault DropNotNull SetNotNull SetStatistics SetOptions ResetOptions
   SetStorage SetCompression DropConstraint DropIdentity AddIdentity SetIdentity ChangeOwner ClusterOn DropCluster SetLogged
   SetUnLogged SetTableSpace SetRelOptions ResetRelOptions ReplaceRelOptions EnableTrig EnableAlwaysTrig EnableReplicaTrig
   DisableTrig EnableTrigAll DisableTrigAll EnableTrigUser DisableTrigUser EnableRule DisableRule ReplicaIdentity
   EnableRowSecurity DisableRowSecurity ForceRowSecurity NoForceRowSecurity`
    .split(/\s+/)
    .map((name) => `AT_${name}`),
);

/** All columns of a relation. One that the catalogue does not have is new, and what it holds was not copied there. */
function allOf(walk: EffectWalk, range: unknown): void {
  if (typeof range !== 'object' || range === null) return;
  const found = walk.names.relation(range as TreeNode);
  if (found.relation !== null) walk.use(shapeOf(walk, found).wholeRow, 'copy');
}

/** What a function of a user makes its result of, besides its arguments. */
function resultOf(walk: EffectWalk, name: unknown): void {
  const parts = nameParts(name);
  for (const one of walk.names.userFunctions(parts.at(-2) ?? null, parts.at(-1) ?? '')) {
    if (!walk.isOfTrustedExtension(one)) walk.use(functionCode(walk, one).result, 'copy');
  }
}

/** Notes what a statement exposes. @param type of its node */
export function exposes(walk: EffectWalk, type: string, body: TreeNode): void {
  switch (type) {
    case 'AlterTableStmt':
      if (nodesIn(body.cmds, 'AlterTableCmd').some(({ subtype }) => !HARMLESS.has(text(subtype)))) {
        allOf(walk, body.relation);
        for (const { def } of nodesIn(body.cmds, 'AlterTableCmd')) {
          const [kind, partition] = only(def);
          if (kind === 'PartitionCmd') allOf(walk, partition.name);
        }
      }
      return;
    case 'RenameStmt':
      if (body.renameType === 'OBJECT_SCHEMA') walk.use(UNKNOWN, 'copy');
      else if (RENAMED.has(text(body.renameType))) allOf(walk, body.relation);
      else resultOf(walk, body.object);
      return;
    case 'AlterObjectSchemaStmt':
      if (body.relation === undefined) resultOf(walk, body.object);
      else allOf(walk, body.relation);
      return;
    case 'IndexStmt':
      // Whether it can be made shows something of what it is made of.
      if (body.unique === true || body.excludeOpNames !== undefined || body.whereClause !== undefined) {
        allOf(walk, body.relation);
      } else if (nodesIn(body.indexParams, 'IndexElem').some(({ expr }) => expr !== undefined))
        allOf(walk, body.relation);
      return;
    case 'CreateTrigStmt':
      // Its code gets the rows.
      allOf(walk, body.relation);
      resultOf(walk, body.funcname);
      return;
    case 'CreateFunctionStmt':
      walk.use(createdCode(walk, body), 'copy');
      return;
    case 'CreateCastStmt':
      resultOf(walk, body.func === undefined ? [] : { ObjectWithArgs: body.func });
      return;
    case 'DefineStmt':
      for (const { arg } of nodesIn(listOf(body.definition), 'DefElem')) resultOf(walk, arg);
      return;
    default:
  }
}

const RENAMED: ReadonlySet<string> = new Set(
  'TABLE COLUMN VIEW MATVIEW FOREIGN_TABLE ATTRIBUTE'.split(' ').map((type) => `OBJECT_${type}`),
);
