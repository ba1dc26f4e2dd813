/**
 * What is decided about every node type of the grammar. A type that is not listed here is opaque to the analysis.
 *
 * - `handled`: effects.ts knows what it does.
 * - `contains`: does nothing by itself; what is inside counts.
 * - `inert`: nothing inside can have an effect.
 * - `analysed`: exists only after the server's parse analysis; the raw grammar never produces it. Met anyway, it is opaque.
 */
export type NodeDecision = 'handled' | 'contains' | 'inert' | 'analysed';

const LISTS: Record<NodeDecision, string> = {
  handled: `
    SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt RangeVar FuncCall
    AlterTableStmt AlterDomainStmt GrantStmt GrantRoleStmt AlterDefaultPrivilegesStmt CopyStmt VariableSetStmt
    VariableShowStmt CreateStmt CreateTableSpaceStmt DropTableSpaceStmt AlterTableSpaceOptionsStmt AlterTableMoveAllStmt
    CreateExtensionStmt AlterExtensionStmt AlterExtensionContentsStmt CreateFdwStmt AlterFdwStmt CreateForeignServerStmt
    AlterForeignServerStmt CreateForeignTableStmt CreateUserMappingStmt AlterUserMappingStmt DropUserMappingStmt
    ImportForeignSchemaStmt CreatePolicyStmt AlterPolicyStmt CreateAmStmt CreateTrigStmt CreateEventTrigStmt
    AlterEventTrigStmt CreatePLangStmt CreateRoleStmt AlterRoleStmt AlterRoleSetStmt DropRoleStmt CreateSeqStmt
    AlterSeqStmt DefineStmt CreateDomainStmt CreateOpClassStmt CreateOpFamilyStmt AlterOpFamilyStmt DropStmt TruncateStmt
    CommentStmt SecLabelStmt DeclareCursorStmt ClosePortalStmt FetchStmt IndexStmt CreateStatsStmt AlterStatsStmt
    CreateFunctionStmt AlterFunctionStmt DoStmt CallStmt RenameStmt AlterObjectDependsStmt AlterObjectSchemaStmt
    AlterOwnerStmt AlterOperatorStmt AlterTypeStmt AlterCollationStmt RuleStmt NotifyStmt ListenStmt UnlistenStmt
    TransactionStmt CompositeTypeStmt CreateEnumStmt CreateRangeStmt AlterEnumStmt ViewStmt LoadStmt CreatedbStmt
    AlterDatabaseStmt AlterDatabaseRefreshCollStmt AlterDatabaseSetStmt DropdbStmt AlterSystemStmt ClusterStmt VacuumStmt
    ExplainStmt CreateTableAsStmt RefreshMatViewStmt CheckPointStmt DiscardStmt LockStmt ConstraintsSetStmt ReindexStmt
    CreateConversionStmt CreateCastStmt CreateTransformStmt PrepareStmt ExecuteStmt DeallocateStmt DropOwnedStmt
    ReassignOwnedStmt AlterTSDictionaryStmt AlterTSConfigurationStmt CreatePublicationStmt AlterPublicationStmt
    CreateSubscriptionStmt AlterSubscriptionStmt DropSubscriptionStmt CreateSchemaStmt PartitionCmd A_Expr TypeCast SubLink`,
  contains: `
    List GroupingFunc NamedArgExpr BoolExpr LockingClause CaseExpr CaseWhen RowExpr CoalesceExpr MinMaxExpr XmlExpr
    JsonValueExpr JsonIsPredicate JsonBehavior NullTest BooleanTest CollateClause TypeName
    A_Indices A_Indirection A_ArrayExpr ResTarget MultiAssignRef SortBy WindowDef RangeSubselect RangeFunction
    RangeTableFunc RangeTableFuncCol RangeTableSample ColumnDef TableLikeClause IndexElem DefElem XmlSerialize
    PartitionElem PartitionSpec PartitionBoundSpec PartitionRangeDatum GroupingSet WithClause InferClause
    OnConflictClause CommonTableExpr CTECycleClause MergeWhenClause ReturningClause JsonOutput JsonArgument JsonFuncExpr
    JsonTablePathSpec JsonTable JsonTableColumn JsonKeyValue JsonParseExpr JsonScalarExpr JsonSerializeExpr
    JsonObjectConstructor JsonArrayConstructor JsonArrayQueryConstructor JsonAggConstructor JsonObjectAgg JsonArrayAgg
    RawStmt ReturnStmt AlterTableCmd Constraint FunctionParameter StatsElem VacuumRelation PublicationTable
    PublicationObjSpec JoinExpr IntoClause ObjectWithArgs CreateOpClassItem`,
  inert: `
    Integer Float Boolean String BitString A_Const Alias MergeSupportFunc SQLValueFunction JsonFormat JsonReturning
    SetToDefault CurrentOfExpr ColumnRef ParamRef RoleSpec A_Star CTESearchClause ReturningOption TriggerTransition
    ATAlterConstraint ReplicaIdentityStmt AccessPriv`,
  analysed: `
    ParseResult ScanResult OidList IntList TableFunc Var Param Aggref WindowFunc WindowFuncRunCondition SubscriptingRef
    FuncExpr OpExpr DistinctExpr NullIfExpr ScalarArrayOpExpr SubPlan AlternativeSubPlan FieldSelect FieldStore
    RelabelType CoerceViaIO ArrayCoerceExpr ConvertRowtypeExpr CollateExpr CaseTestExpr ArrayExpr RowCompareExpr
    JsonConstructorExpr JsonExpr JsonTablePath JsonTablePathScan JsonTableSiblingJoin MergeAction CoerceToDomain
    CoerceToDomainValue NextValueExpr InferenceElem ReturningExpr TargetEntry RangeTblRef FromExpr OnConflictExpr Query
    RangeTblEntry RTEPermissionInfo RangeTblFunction TableSampleClause WithCheckOption SortGroupClause WindowClause
    RowMarkClause SetOperationStmt PLAssignStmt InlineCodeBlock CallContext ScanToken SummaryResult Table Function
    FilterColumn`,
};

export const NODE_DECISIONS: ReadonlyMap<string, NodeDecision> = new Map(
  (Object.keys(LISTS) as NodeDecision[]).flatMap((decision) =>
    LISTS[decision]
      .trim()
      .split(/\s+/)
      .map((type) => [type, decision] as const),
  ),
);

/**
 * Fields that hold a node of one fixed type, which the serialised tree does not name: `{ RangeSubselect: { alias: {...} } }`.
 * By field, or by `NodeType.field` where the field's name has several types.
 */
export const FIXED_TYPES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ival: 'Integer',
    fval: 'Float',
    boolval: 'Boolean',
    sval: 'String',
    bsval: 'BitString',
    alias: 'Alias',
    join_using_alias: 'Alias',
    rel: 'RangeVar',
    relation: 'RangeVar',
    identitySequence: 'RangeVar',
    pktable: 'RangeVar',
    table: 'RangeVar',
    constrrel: 'RangeVar',
    sequence: 'RangeVar',
    typevar: 'RangeVar',
    view: 'RangeVar',
    'PartitionCmd.name': 'RangeVar',
    format: 'JsonFormat',
    returning: 'JsonReturning',
    on_empty: 'JsonBehavior',
    on_error: 'JsonBehavior',
    typeName: 'TypeName',
    ofTypename: 'TypeName',
    datatype: 'TypeName',
    storedtype: 'TypeName',
    returnType: 'TypeName',
    argType: 'TypeName',
    sourcetype: 'TypeName',
    targettype: 'TypeName',
    type_name: 'TypeName',
    over: 'WindowDef',
    collClause: 'CollateClause',
    bound: 'PartitionBoundSpec',
    partbound: 'PartitionBoundSpec',
    partspec: 'PartitionSpec',
    infer: 'InferClause',
    search_clause: 'CTESearchClause',
    cycle_clause: 'CTECycleClause',
    context_item: 'JsonValueExpr',
    'JsonArgument.val': 'JsonValueExpr',
    'JsonKeyValue.value': 'JsonValueExpr',
    'JsonParseExpr.expr': 'JsonValueExpr',
    'JsonSerializeExpr.expr': 'JsonValueExpr',
    'JsonArrayAgg.arg': 'JsonValueExpr',
    'JsonObjectAgg.arg': 'JsonKeyValue',
    constructor: 'JsonAggConstructor',
    output: 'JsonOutput',
    'JsonTable.pathspec': 'JsonTablePathSpec',
    'JsonTableColumn.pathspec': 'JsonTablePathSpec',
    onConflictClause: 'OnConflictClause',
    returningClause: 'ReturningClause',
    withClause: 'WithClause',
    intoClause: 'IntoClause',
    into: 'IntoClause',
    larg: 'SelectStmt',
    rarg: 'SelectStmt',
    authrole: 'RoleSpec',
    newowner: 'RoleSpec',
    grantor: 'RoleSpec',
    owner: 'RoleSpec',
    user: 'RoleSpec',
    'AlterRoleStmt.role': 'RoleSpec',
    'AlterRoleSetStmt.role': 'RoleSpec',
    newrole: 'RoleSpec',
    'AlterDefaultPrivilegesStmt.action': 'GrantStmt',
    base: 'CreateStmt',
    setstmt: 'VariableSetStmt',
    'CreateOpClassItem.name': 'ObjectWithArgs',
    func: 'ObjectWithArgs',
    opername: 'ObjectWithArgs',
    fromsql: 'ObjectWithArgs',
    tosql: 'ObjectWithArgs',
    funccall: 'FuncCall',
    'AlterObjectDependsStmt.extname': 'String',
    pubtable: 'PublicationTable',
  }),
);
