import type { TreeNode } from './parser.ts';
import { listOf, nameParts, only, text } from './tree.ts';

/**
 * The name the server gives to an output column without AS (FigureColname in parse_target.c). Names of derived columns are
 * resolved by it, so it has to be the server's.
 */
export function outputName(expression: unknown): string {
  return figured(expression)?.name ?? '?column?';
}

interface Figured {
  readonly name: string;
  /** A weak name gives way to one from further out. */
  readonly weak: boolean;
}

const strong = (name: string): Figured => ({ name, weak: false });

const FIXED: Readonly<Record<string, string>> = {
  GroupingFunc: 'grouping',
  MergeSupportFunc: 'merge_action',
  A_ArrayExpr: 'array',
  RowExpr: 'row',
  CoalesceExpr: 'coalesce',
  XmlSerialize: 'xmlserialize',
  JsonParseExpr: 'json',
  JsonScalarExpr: 'json_scalar',
  JsonSerializeExpr: 'json_serialize',
  JsonObjectConstructor: 'json_object',
  JsonArrayConstructor: 'json_array',
  JsonArrayQueryConstructor: 'json_array',
  JsonObjectAgg: 'json_objectagg',
  JsonArrayAgg: 'json_arrayagg',
};

const XML_NAMES: Readonly<Record<string, string>> = {
  IS_XMLCONCAT: 'xmlconcat',
  IS_XMLELEMENT: 'xmlelement',
  IS_XMLFOREST: 'xmlforest',
  IS_XMLPARSE: 'xmlparse',
  IS_XMLPI: 'xmlpi',
  IS_XMLROOT: 'xmlroot',
  IS_XMLSERIALIZE: 'xmlserialize',
};

const JSON_NAMES: Readonly<Record<string, string>> = {
  JSON_EXISTS_OP: 'json_exists',
  JSON_QUERY_OP: 'json_query',
  JSON_VALUE_OP: 'json_value',
};

function figured(expression: unknown): Figured | null {
  const [type, body] = only(expression);
  switch (type) {
    case 'ColumnRef': {
      const name = nameParts(body.fields).at(-1);
      return name === undefined ? null : strong(name);
    }
    case 'A_Indirection': {
      const name = nameParts(listOf(body.indirection)).at(-1);
      return name === undefined ? figured(body.arg) : strong(name);
    }
    case 'FuncCall':
      return strong(nameParts(body.funcname).at(-1) ?? '?column?');
    case 'A_Expr':
      return body.kind === 'AEXPR_NULLIF' ? strong('nullif') : null;
    case 'TypeCast': {
      const argument = figured(body.arg);
      if (argument !== null && !argument.weak) return argument;
      const name = nameParts((body.typeName as TreeNode | undefined)?.names).at(-1);
      return name === undefined ? argument : { name, weak: true };
    }
    case 'CollateClause':
      return figured(body.arg);
    case 'CaseExpr': {
      const otherwise = figured(body.defresult);
      return otherwise !== null && !otherwise.weak ? otherwise : { name: 'case', weak: true };
    }
    case 'MinMaxExpr':
      return strong(body.op === 'IS_LEAST' ? 'least' : 'greatest');
    case 'SubLink':
      return ofSubLink(body);
    case 'SQLValueFunction':
      return strong(
        text(body.op)
          .replace(/^SVFOP_/, '')
          .replace(/_N$/, '')
          .toLowerCase(),
      );
    case 'XmlExpr':
      return XML_NAMES[text(body.op)] === undefined ? null : strong(XML_NAMES[text(body.op)]!);
    case 'JsonFuncExpr':
      return JSON_NAMES[text(body.op)] === undefined ? null : strong(JSON_NAMES[text(body.op)]!);
    default:
      return FIXED[type] === undefined ? null : strong(FIXED[type]);
  }
}

function ofSubLink(body: TreeNode): Figured | null {
  if (body.subLinkType === 'EXISTS_SUBLINK') return strong('exists');
  if (body.subLinkType === 'ARRAY_SUBLINK') return strong('array');
  if (body.subLinkType !== 'EXPR_SUBLINK') return null;
  const [, select] = only(body.subselect);
  const [, target] = only(listOf(select.targetList)[0]);
  if (target.val === undefined) return select.valuesLists === undefined ? null : strong('column1');
  return typeof target.name === 'string' ? strong(target.name) : figured(target.val);
}
