// Written by `cargo xtask generate` from the headers of libpg_query.

use super::*;

/// The Postgres whose layouts these are, as `PG_VERSION_NUM` says it.
pub(crate) const VERSION: i32 = 180_006;

nodes! {
    Alias, 2, Alias(Alias) {
        aliasname = text, colnames = list }
    RangeVar, 3, RangeVar(RangeVar) {
        catalogname = text, schemaname = text, relname = text, inh = flag, relpersistence = letter,
        alias = one(Alias), location = number(i32) }
    IntoClause, 5, IntoClause(IntoClause) {
        rel = one(RangeVar), col_names = list, access_method = text, options = list,
        on_commit = choice(OnCommitAction), table_space_name = text, view_query = absent, skip_data = flag }
    GroupingFunc, 10, GroupingFunc(GroupingFunc) {
        args = list, refs = list, _cols: Absent, agglevelsup = number(u32), location = number(i32); xpr }
    MergeSupportFunc, 13, MergeSupportFunc(MergeSupportFunc) {
        msftype = number(u32), msfcollid = number(u32), location = number(i32); xpr }
    NamedArgExpr, 16, NamedArgExpr(NamedArgExpr) {
        arg = node, name = text, argnumber = number(i32), location = number(i32); xpr }
    BoolExpr, 21, BoolExpr(BoolExpr) {
        boolop = choice(BoolExprType), args = list, location = number(i32); xpr }
    SubLink, 22, SubLink(SubLink) {
        sub_link_type = choice(SubLinkType), sub_link_id = number(i32), testexpr = node, oper_name = list,
        subselect = node, location = number(i32); xpr }
    CaseExpr, 32, CaseExpr(CaseExpr) {
        casetype = number(u32), casecollid = number(u32), arg = node, args = list, defresult = node,
        location = number(i32); xpr }
    CaseWhen, 33, CaseWhen(CaseWhen) {
        expr = node, result = node, location = number(i32); xpr }
    RowExpr, 36, RowExpr(RowExpr) {
        args = list, row_typeid = number(u32), row_format = choice(CoercionForm), colnames = list,
        location = number(i32); xpr }
    CoalesceExpr, 38, CoalesceExpr(CoalesceExpr) {
        coalescetype = number(u32), coalescecollid = number(u32), args = list, location = number(i32); xpr }
    MinMaxExpr, 39, MinMaxExpr(MinMaxExpr) {
        minmaxtype = number(u32), minmaxcollid = number(u32), inputcollid = number(u32), op = choice(MinMaxOp),
        args = list, location = number(i32); xpr }
    SQLValueFunction, 40, SqlvalueFunction(SqlValueFunction) {
        op = choice(SqlValueFunctionOp), r#type = number(u32), typmod = number(i32), location = number(i32); xpr }
    XmlExpr, 41, XmlExpr(XmlExpr) {
        op = choice(XmlExprOp), name = text, named_args = list, arg_names = list, args = list,
        xmloption = choice(XmlOptionType), indent = flag, r#type = number(u32), typmod = number(i32),
        location = number(i32); xpr }
    JsonFormat, 42, JsonFormat(JsonFormat) {
        format_type = choice(JsonFormatType), encoding = choice(JsonEncoding), location = number(i32) }
    JsonReturning, 43, JsonReturning(JsonReturning) {
        format = one(JsonFormat), typid = number(u32), typmod = number(i32) }
    JsonValueExpr, 44, JsonValueExpr(JsonValueExpr) {
        raw_expr = node, formatted_expr = node, format = one(JsonFormat) }
    JsonIsPredicate, 46, JsonIsPredicate(JsonIsPredicate) {
        expr = node, format = one(JsonFormat), item_type = choice(JsonValueType), unique_keys = flag,
        location = number(i32) }
    JsonBehavior, 47, JsonBehavior(JsonBehavior) {
        btype = choice(JsonBehaviorType), expr = node, coerce = flag, location = number(i32) }
    NullTest, 52, NullTest(NullTest) {
        arg = node, nulltesttype = choice(NullTestType), argisrow = flag, location = number(i32); xpr }
    BooleanTest, 53, BooleanTest(BooleanTest) {
        arg = node, booltesttype = choice(BoolTestType), location = number(i32); xpr }
    SetToDefault, 57, SetToDefault(SetToDefault) {
        type_id = number(u32), type_mod = number(i32), collation = number(u32), location = number(i32); xpr }
    CurrentOfExpr, 58, CurrentOfExpr(CurrentOfExpr) {
        cvarno = number(u32), cursor_name = text, cursor_param = number(i32); xpr }
    JoinExpr, 64, JoinExpr(JoinExpr) {
        jointype = choice(JoinType), is_natural = flag, larg = node, rarg = node, using_clause = list,
        join_using_alias = one(Alias), quals = node, alias = one(Alias), rtindex = number(i32) }
    TypeName, 68, TypeName(TypeName) {
        names = list, type_oid = number(u32), setof = flag, pct_type = flag, typmods = list, typemod = number(i32),
        array_bounds = list, location = number(i32) }
    ColumnRef, 69, ColumnRef(ColumnRef) {
        fields = list, location = number(i32) }
    ParamRef, 70, ParamRef(ParamRef) {
        number = number(i32), location = number(i32) }
    AExpr, 71, AExpr(AExpr) {
        kind = choice(AExprKind), name = list, lexpr = node, rexpr = node, rexpr_list_start = number(i32),
        rexpr_list_end = number(i32), location = number(i32) }
    TypeCast, 73, TypeCast(TypeCast) {
        arg = node, type_name = one(TypeName), location = number(i32) }
    CollateClause, 74, CollateClause(CollateClause) {
        arg = node, collname = list, location = number(i32) }
    FuncCall, 76, FuncCall(FuncCall) {
        funcname = list, args = list, agg_order = list, agg_filter = node, over = one(WindowDef),
        agg_within_group = flag, agg_star = flag, agg_distinct = flag, func_variadic = flag,
        funcformat = choice(CoercionForm), location = number(i32) }
    AStar, 77, AStar(AStar) { }
    AIndices, 78, AIndices(AIndices) {
        is_slice = flag, lidx = node, uidx = node }
    AIndirection, 79, AIndirection(AIndirection) {
        arg = node, indirection = list }
    AArrayExpr, 80, AArrayExpr(AArrayExpr) {
        elements = list, list_start = number(i32), list_end = number(i32), location = number(i32) }
    ResTarget, 81, ResTarget(ResTarget) {
        name = text, indirection = list, val = node, location = number(i32) }
    MultiAssignRef, 82, MultiAssignRef(MultiAssignRef) {
        source = node, colno = number(i32), ncolumns = number(i32) }
    SortBy, 83, SortBy(SortBy) {
        node = node, sortby_dir = choice(SortByDir), sortby_nulls = choice(SortByNulls), use_op = list,
        location = number(i32) }
    WindowDef, 84, WindowDef(WindowDef) {
        name = text, refname = text, partition_clause = list, order_clause = list, frame_options = number(i32),
        start_offset = node, end_offset = node, location = number(i32) }
    RangeSubselect, 85, RangeSubselect(RangeSubselect) {
        lateral = flag, subquery = node, alias = one(Alias) }
    RangeFunction, 86, RangeFunction(RangeFunction) {
        lateral = flag, ordinality = flag, is_rowsfrom = flag, functions = list, alias = one(Alias),
        coldeflist = list }
    RangeTableFunc, 87, RangeTableFunc(RangeTableFunc) {
        lateral = flag, docexpr = node, rowexpr = node, namespaces = list, columns = list, alias = one(Alias),
        location = number(i32) }
    RangeTableFuncCol, 88, RangeTableFuncCol(RangeTableFuncCol) {
        colname = text, type_name = one(TypeName), for_ordinality = flag, is_not_null = flag, colexpr = node,
        coldefexpr = node, location = number(i32) }
    RangeTableSample, 89, RangeTableSample(RangeTableSample) {
        relation = node, method = list, args = list, repeatable = node, location = number(i32) }
    ColumnDef, 90, ColumnDef(ColumnDef) {
        colname = text, type_name = one(TypeName), compression = text, inhcount = number(i16), is_local = flag,
        is_not_null = flag, is_from_type = flag, storage = letter, storage_name = text, raw_default = node,
        cooked_default = node, identity = letter, identity_sequence = one(RangeVar), generated = letter,
        coll_clause = one(CollateClause), coll_oid = number(u32), constraints = list, fdwoptions = list,
        location = number(i32) }
    IndexElem, 92, IndexElem(IndexElem) {
        name = text, expr = node, indexcolname = text, collation = list, opclass = list, opclassopts = list,
        ordering = choice(SortByDir), nulls_ordering = choice(SortByNulls) }
    DefElem, 93, DefElem(DefElem) {
        defnamespace = text, defname = text, arg = node, defaction = choice(DefElemAction), location = number(i32),
        arg_location = number(i32) }
    LockingClause, 94, LockingClause(LockingClause) {
        locked_rels = list, strength = choice(LockClauseStrength), wait_policy = choice(LockWaitPolicy) }
    XmlSerialize, 95, XmlSerialize(XmlSerialize) {
        xmloption = choice(XmlOptionType), expr = node, type_name = one(TypeName), indent = flag,
        location = number(i32) }
    GroupingSet, 107, GroupingSet(GroupingSet) {
        kind = choice(GroupingSetKind), content = list, location = number(i32) }
    WithClause, 110, WithClause(WithClause) {
        ctes = list, recursive = flag, location = number(i32) }
    InferClause, 111, InferClause(InferClause) {
        index_elems = list, where_clause = node, conname = text, location = number(i32) }
    OnConflictClause, 112, OnConflictClause(OnConflictClause) {
        action = choice(OnConflictAction), infer = one(InferClause), target_list = list, where_clause = node,
        location = number(i32) }
    CTESearchClause, 113, CtesearchClause(CteSearchClause) {
        search_col_list = list, search_breadth_first = flag, search_seq_column = text, location = number(i32) }
    CTECycleClause, 114, CtecycleClause(CteCycleClause) {
        cycle_col_list = list, cycle_mark_column = text, cycle_mark_value = node, cycle_mark_default = node,
        cycle_path_column = text, location = number(i32), cycle_mark_type = number(u32),
        cycle_mark_typmod = number(i32), cycle_mark_collation = number(u32), cycle_mark_neop = number(u32) }
    CommonTableExpr, 115, CommonTableExpr(CommonTableExpr) {
        ctename = text, aliascolnames = list, ctematerialized = choice(CteMaterialize), ctequery = node,
        search_clause = one(CTESearchClause), cycle_clause = one(CTECycleClause), location = number(i32),
        cterecursive = flag, cterefcount = number(i32), ctecolnames = list, ctecoltypes = list,
        ctecoltypmods = list, ctecolcollations = list }
    MergeWhenClause, 116, MergeWhenClause(MergeWhenClause) {
        match_kind = choice(MergeMatchKind), command_type = choice(CmdType), r#override = choice(OverridingKind),
        condition = node, target_list = list, values = list }
    ReturningOption, 117, ReturningOption(ReturningOption) {
        option = choice(ReturningOptionKind), value = text, location = number(i32) }
    ReturningClause, 118, ReturningClause(ReturningClause) {
        options = list, exprs = list }
    JsonOutput, 120, JsonOutput(JsonOutput) {
        type_name = one(TypeName), returning = one(JsonReturning) }
    JsonArgument, 121, JsonArgument(JsonArgument) {
        val = one(JsonValueExpr), name = text }
    JsonFuncExpr, 122, JsonFuncExpr(JsonFuncExpr) {
        op = choice(JsonExprOp), column_name = text, context_item = one(JsonValueExpr), pathspec = node,
        passing = list, output = one(JsonOutput), on_empty = one(JsonBehavior), on_error = one(JsonBehavior),
        wrapper = choice(JsonWrapper), quotes = choice(JsonQuotes), location = number(i32) }
    JsonTablePathSpec, 123, JsonTablePathSpec(JsonTablePathSpec) {
        string = node, name = text, name_location = number(i32), location = number(i32) }
    JsonTable, 124, JsonTable(JsonTable) {
        context_item = one(JsonValueExpr), pathspec = one(JsonTablePathSpec), passing = list, columns = list,
        on_error = one(JsonBehavior), alias = one(Alias), lateral = flag, location = number(i32) }
    JsonTableColumn, 125, JsonTableColumn(JsonTableColumn) {
        coltype = choice(JsonTableColumnType), name = text, type_name = one(TypeName),
        pathspec = one(JsonTablePathSpec), format = one(JsonFormat), wrapper = choice(JsonWrapper),
        quotes = choice(JsonQuotes), columns = list, on_empty = one(JsonBehavior), on_error = one(JsonBehavior),
        location = number(i32) }
    JsonKeyValue, 126, JsonKeyValue(JsonKeyValue) {
        key = node, value = one(JsonValueExpr) }
    JsonParseExpr, 127, JsonParseExpr(JsonParseExpr) {
        expr = one(JsonValueExpr), output = one(JsonOutput), unique_keys = flag, location = number(i32) }
    JsonScalarExpr, 128, JsonScalarExpr(JsonScalarExpr) {
        expr = node, output = one(JsonOutput), location = number(i32) }
    JsonSerializeExpr, 129, JsonSerializeExpr(JsonSerializeExpr) {
        expr = one(JsonValueExpr), output = one(JsonOutput), location = number(i32) }
    JsonObjectConstructor, 130, JsonObjectConstructor(JsonObjectConstructor) {
        exprs = list, output = one(JsonOutput), absent_on_null = flag, unique = flag, location = number(i32) }
    JsonArrayConstructor, 131, JsonArrayConstructor(JsonArrayConstructor) {
        exprs = list, output = one(JsonOutput), absent_on_null = flag, location = number(i32) }
    JsonArrayQueryConstructor, 132, JsonArrayQueryConstructor(JsonArrayQueryConstructor) {
        query = node, output = one(JsonOutput), format = one(JsonFormat), absent_on_null = flag,
        location = number(i32) }
    JsonAggConstructor, 133, JsonAggConstructor(JsonAggConstructor) {
        output = one(JsonOutput), agg_filter = node, agg_order = list, over = one(WindowDef),
        location = number(i32) }
    JsonObjectAgg, 134, JsonObjectAgg(JsonObjectAgg) {
        constructor = one(JsonAggConstructor), arg = one(JsonKeyValue), absent_on_null = flag, unique = flag }
    JsonArrayAgg, 135, JsonArrayAgg(JsonArrayAgg) {
        constructor = one(JsonAggConstructor), arg = one(JsonValueExpr), absent_on_null = flag }
    RawStmt, 136, RawStmt(RawStmt) {
        stmt = node, stmt_location = number(i32), stmt_len = number(i32) }
    InsertStmt, 137, InsertStmt(InsertStmt) {
        relation = one(RangeVar), cols = list, select_stmt = node, on_conflict_clause = one(OnConflictClause),
        returning_clause = one(ReturningClause), with_clause = one(WithClause), r#override = choice(OverridingKind) }
    DeleteStmt, 138, DeleteStmt(DeleteStmt) {
        relation = one(RangeVar), using_clause = list, where_clause = node, returning_clause = one(ReturningClause),
        with_clause = one(WithClause) }
    UpdateStmt, 139, UpdateStmt(UpdateStmt) {
        relation = one(RangeVar), target_list = list, where_clause = node, from_clause = list,
        returning_clause = one(ReturningClause), with_clause = one(WithClause) }
    MergeStmt, 140, MergeStmt(MergeStmt) {
        relation = one(RangeVar), source_relation = node, join_condition = node, merge_when_clauses = list,
        returning_clause = one(ReturningClause), with_clause = one(WithClause) }
    SelectStmt, 141, SelectStmt(SelectStmt) {
        distinct_clause = list, into_clause = one(IntoClause), target_list = list, from_clause = list,
        where_clause = node, group_clause = list, group_distinct = flag, having_clause = node, window_clause = list,
        values_lists = list, sort_clause = list, limit_offset = node, limit_count = node,
        limit_option = choice(LimitOption), locking_clause = list, with_clause = one(WithClause),
        op = choice(SetOperation), all = flag, larg = one(SelectStmt), rarg = one(SelectStmt) }
    CallStmt, 213, CallStmt(CallStmt) {
        funccall = one(FuncCall), funcexpr = absent, outargs = list }
}
