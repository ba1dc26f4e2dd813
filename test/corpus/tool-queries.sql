-- What clients ask the catalogue of PostgreSQL: psql (\d and its family, completion), pg_dump, JDBC's DatabaseMetaData,
-- DBeaver, Prisma, SQLAlchemy, Django, Rails, TypeORM, Sequelize, Drizzle. One of each kind, in our words, with every
-- function, operator and relation that the tools' own queries use. Each ends in a line with a semicolon at its end.

SELECT n.nspname AS "Schema", c.relname AS "Name", CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'p' THEN 'partitioned table' END AS "Type",
  pg_catalog.pg_get_userbyid(c.relowner) AS "Owner", am.amname, pg_catalog.pg_size_pretty(pg_catalog.pg_table_size(c.oid)), pg_catalog.obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', '') AND n.nspname !~ '^pg_toast' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1, 2;
SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname OPERATOR(pg_catalog.~) '^(orders)$' COLLATE pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3;
SELECT c.relchecks, c.relkind, c.relhasindex, c.relrowsecurity, pg_catalog.array_to_string(c.reloptions || array(SELECT 'toast.' || x FROM pg_catalog.unnest(tc.reloptions) x), ', '),
  c.reltablespace, CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::pg_catalog.regtype::pg_catalog.text END, c.relpersistence
FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid) WHERE c.oid = '16400';
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
  a.attnotnull, (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation),
  a.attidentity, a.attgenerated, a.attstorage, pg_catalog.col_description(a.attrelid, a.attnum)
FROM pg_catalog.pg_attribute a WHERE a.attrelid = '16400' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;
SELECT c2.relname, i.indisprimary, i.indisunique, i.indisvalid, pg_catalog.pg_get_indexdef(i.indexrelid, 0, true), pg_catalog.pg_get_constraintdef(con.oid, true), contype, condeferrable
FROM pg_catalog.pg_class c, pg_catalog.pg_class c2, pg_catalog.pg_index i LEFT JOIN pg_catalog.pg_constraint con ON (conrelid = i.indrelid AND conindid = i.indexrelid AND contype IN ('p', 'u', 'x'))
WHERE c.oid = '16400' AND c.oid = i.indrelid AND i.indexrelid = c2.oid ORDER BY i.indisprimary DESC, c2.relname;
SELECT conrelid = '16400'::pg_catalog.regclass AS sametable, conname, pg_catalog.pg_get_constraintdef(oid, true), conrelid::pg_catalog.regclass AS ontable
FROM pg_catalog.pg_constraint, pg_catalog.pg_partition_ancestors('16400') WHERE conrelid IN (SELECT pg_catalog.pg_partition_ancestors('16400') UNION ALL VALUES ('16400'::pg_catalog.regclass)) AND contype = 'f';
SELECT pol.polname, pol.polpermissive, CASE WHEN pol.polroles = '{0}' THEN NULL ELSE pg_catalog.array_to_string(array(SELECT rolname FROM pg_catalog.pg_roles WHERE oid = ANY (pol.polroles) ORDER BY 1), ',') END,
  pg_catalog.pg_get_expr(pol.polqual, pol.polrelid), pg_catalog.pg_get_expr(pol.polwithcheck, pol.polrelid) FROM pg_catalog.pg_policy pol WHERE pol.polrelid = '16400';
SELECT oid, stxrelid::pg_catalog.regclass, stxnamespace::pg_catalog.regnamespace, stxname, pg_catalog.pg_get_statisticsobjdef_columns(oid), 'd' = ANY (stxkind) FROM pg_catalog.pg_statistic_ext WHERE stxrelid = '16400';
SELECT pubname, NULL, (SELECT pg_catalog.string_agg(attname, ', ') FROM pg_catalog.generate_series(0, pg_catalog.array_upper(pr.prattrs::pg_catalog.int2[], 1)) s, pg_catalog.pg_attribute WHERE attrelid = pr.prrelid AND attnum = prattrs[s])
FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_rel pr ON p.oid = pr.prpubid WHERE pg_catalog.pg_relation_is_publishable('16400') UNION SELECT pubname, NULL, NULL FROM pg_catalog.pg_publication WHERE puballtables;
SELECT t.tgname, pg_catalog.pg_get_triggerdef(t.oid, true), t.tgenabled, t.tgisinternal FROM pg_catalog.pg_trigger t WHERE t.tgrelid = '16400' AND NOT t.tgisinternal;
SELECT c.oid::pg_catalog.regclass, c.relkind, inhdetachpending, pg_catalog.pg_get_expr(c.relpartbound, c.oid), pg_catalog.pg_get_partkeydef(c.oid) FROM pg_catalog.pg_class c, pg_catalog.pg_inherits i WHERE c.oid = i.inhrelid AND i.inhparent = '16400';
SELECT pg_catalog.pg_get_viewdef('16401'::pg_catalog.oid, true);
SELECT r.rulename, trim(trailing ';' FROM pg_catalog.pg_get_ruledef(r.oid, true)) FROM pg_catalog.pg_rewrite r WHERE r.ev_class = '16401' AND r.rulename <> '_RETURN';
SELECT pg_catalog.format_type(seqtypid, NULL), seqstart, seqmin, seqmax, seqincrement, CASE WHEN seqcycle THEN 'yes' ELSE 'no' END, seqcache FROM pg_catalog.pg_sequence WHERE seqrelid = '16402';
SELECT n.nspname, p.proname, pg_catalog.pg_get_function_result(p.oid), pg_catalog.pg_get_function_arguments(p.oid), CASE p.prokind WHEN 'a' THEN 'agg' ELSE 'func' END, p.provolatile, p.prosecdef,
  pg_catalog.array_to_string(p.proacl, E'\n'), l.lanname, p.prosrc, pg_catalog.pg_get_function_sqlbody(p.oid), pg_catalog.pg_get_function_identity_arguments(p.oid), pg_catalog.pg_get_functiondef(p.oid)
FROM pg_catalog.pg_proc p LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_catalog.pg_language l ON l.oid = p.prolang WHERE pg_catalog.pg_function_is_visible(p.oid) AND n.nspname <> 'information_schema';
SELECT n.nspname, pg_catalog.format_type(t.oid, NULL), t.typname, CASE WHEN t.typrelid <> 0 THEN CAST('tuple' AS pg_catalog.text) WHEN t.typlen < 0 THEN CAST('var' AS pg_catalog.text) ELSE CAST(t.typlen AS pg_catalog.text) END,
  pg_catalog.array_to_string(ARRAY(SELECT e.enumlabel FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder), E'\n'), pg_catalog.obj_description(t.oid, 'pg_type')
FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_type el WHERE el.oid = t.typelem AND el.typarray = t.oid) AND pg_catalog.pg_type_is_visible(t.oid);
SELECT pg_catalog.format_type(castsource, NULL), pg_catalog.format_type(casttarget, NULL), p.proname FROM pg_catalog.pg_cast c LEFT JOIN pg_catalog.pg_proc p ON c.castfunc = p.oid;
SELECT n.nspname, c.conname, pg_catalog.pg_encoding_to_char(c.conforencoding) FROM pg_catalog.pg_conversion c, pg_catalog.pg_namespace n WHERE n.oid = c.connamespace AND pg_catalog.pg_conversion_is_visible(c.oid);
SELECT c.collname, pg_catalog.getdatabaseencoding() FROM pg_catalog.pg_collation c WHERE c.collencoding IN (-1, pg_catalog.pg_char_to_encoding(pg_catalog.getdatabaseencoding())) AND pg_catalog.pg_collation_is_visible(c.oid);
SELECT o.oprname, o.oprleft::pg_catalog.regtype, pg_catalog.obj_description(o.oprcode, 'pg_proc') FROM pg_catalog.pg_operator o WHERE pg_catalog.pg_operator_is_visible(o.oid);
SELECT r.rolname, r.rolsuper, r.rolinherit, r.rolconnlimit, r.rolvaliduntil, ARRAY(SELECT b.rolname FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles b ON (m.roleid = b.oid) WHERE m.member = r.oid) AS memberof,
  pg_catalog.shobj_description(r.oid, 'pg_authid') FROM pg_catalog.pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY 1;
SELECT d.datname, pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, CASE WHEN pg_catalog.has_database_privilege(d.datname, 'CONNECT') THEN pg_catalog.pg_size_pretty(pg_catalog.pg_database_size(d.datname)) ELSE 'No Access' END,
  t.spcname, pg_catalog.pg_tablespace_location(t.oid), pg_catalog.pg_tablespace_size(t.oid) FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON d.dattablespace = t.oid;
SELECT rolname, datname, pg_catalog.array_to_string(setconfig, E'\n') FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_database d ON d.oid = setdatabase LEFT JOIN pg_catalog.pg_roles r ON r.oid = setrole;
SELECT e.extname, e.extversion, n.nspname, c.description, pg_catalog.pg_describe_object(classid, d.objid, 0) FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
LEFT JOIN pg_catalog.pg_description c ON c.objoid = e.oid LEFT JOIN pg_catalog.pg_depend d ON refobjid = e.oid;
SELECT evtname, evtevent, pg_catalog.pg_get_userbyid(e.evtowner), e.evtfoid::pg_catalog.regproc, pg_catalog.array_to_string(array(SELECT x FROM pg_catalog.unnest(evttags) AS t(x)), ', ') FROM pg_catalog.pg_event_trigger e;
SELECT am.amname, pg_catalog.format_type(c.opcintype, NULL), of.opfname, pg_catalog.pg_opclass_is_visible(c.oid), pg_catalog.pg_opfamily_is_visible(of.oid), ap.amproc::pg_catalog.regprocedure, o.amopopr::pg_catalog.regoperator
FROM pg_catalog.pg_opclass c JOIN pg_catalog.pg_am am ON am.oid = c.opcmethod JOIN pg_catalog.pg_opfamily of ON of.oid = c.opcfamily JOIN pg_catalog.pg_amproc ap ON ap.amprocfamily = of.oid JOIN pg_catalog.pg_amop o ON o.amopfamily = of.oid;
SELECT (SELECT t.alias FROM pg_catalog.ts_token_type(c.cfgparser) AS t WHERE t.tokid = m.maptokentype) AS "Token", pg_catalog.btrim(ARRAY(SELECT mm.mapdict::pg_catalog.regdictionary FROM pg_catalog.pg_ts_config_map AS mm WHERE mm.mapcfg = m.mapcfg)::pg_catalog.text, '{}')
FROM pg_catalog.pg_ts_config AS c, pg_catalog.pg_ts_config_map AS m WHERE c.oid = '3748' AND m.mapcfg = c.oid AND pg_catalog.pg_ts_config_is_visible(c.oid);
SELECT d.dictname, pg_catalog.pg_ts_dict_is_visible(d.oid), pg_catalog.pg_ts_template_is_visible(t.oid), pg_catalog.pg_ts_parser_is_visible(p.oid) FROM pg_catalog.pg_ts_dict d, pg_catalog.pg_ts_template t, pg_catalog.pg_ts_parser p WHERE d.dicttemplate = t.oid AND p.prsname = 'default';
SELECT s.srvname, f.fdwname, CASE WHEN srvoptions IS NULL THEN '' ELSE '(' || pg_catalog.array_to_string(ARRAY(SELECT pg_catalog.quote_ident(option_name) || ' ' || pg_catalog.quote_literal(option_value) FROM pg_catalog.pg_options_to_table(srvoptions)), ', ') || ')' END
FROM pg_catalog.pg_foreign_server s JOIN pg_catalog.pg_foreign_data_wrapper f ON f.oid = s.srvfdw LEFT JOIN pg_catalog.pg_foreign_table ft ON ft.ftserver = s.oid;
SELECT n.nspname, c.relname, s.dps, pg_catalog.pg_size_pretty(s.dps) FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, LATERAL (SELECT pg_catalog.sum(pg_catalog.pg_table_size(ppt.relid)) AS dps FROM pg_catalog.pg_partition_tree(c.oid) ppt) s WHERE c.relkind IN ('p', 'I');
SELECT es.stxname, pg_catalog.format('%s FROM %s', (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ') FROM pg_catalog.unnest(es.stxkeys) s(attnum) JOIN pg_catalog.pg_attribute a ON (es.stxrelid = a.attrelid AND a.attnum = s.attnum)), es.stxrelid::pg_catalog.regclass),
  pg_catalog.pg_get_statisticsobjdef(es.oid) FROM pg_catalog.pg_statistic_ext es WHERE pg_catalog.pg_statistics_obj_is_visible(es.oid);
SELECT s.name, pg_catalog.current_setting(s.name), s.boot_val FROM pg_catalog.pg_settings s WHERE s.source <> 'default' AND s.setting IS DISTINCT FROM s.boot_val ORDER BY 1;
SELECT oid, pg_catalog.pg_get_userbyid(lomowner), pg_catalog.obj_description(oid, 'pg_largeobject') FROM pg_catalog.pg_largeobject_metadata ORDER BY oid;
SELECT pg_catalog.quote_ident(c.relname) FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p') AND (pg_catalog.quote_ident(c.relname)) LIKE 'or%' AND pg_catalog.pg_table_is_visible(c.oid) UNION SELECT pg_catalog.quote_ident(n.nspname) || '.' FROM pg_catalog.pg_namespace n WHERE (pg_catalog.quote_ident(n.nspname) || '.') LIKE 'or%' LIMIT 1000;
-- pg_dump
BEGIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT pg_catalog.pg_is_in_recovery();
SELECT n.tableoid, n.oid, n.nspname, n.nspacl, pip.initprivs, pg_catalog.acldefault('n', n.nspowner) FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_init_privs pip ON (n.oid = pip.objoid AND pip.classoid = 'pg_namespace'::regclass AND pip.objsubid = 0);
PREPARE dump_function(pg_catalog.oid) AS SELECT proretset, prosrc, probin, provolatile, proconfig, procost, protrftypes, pg_catalog.pg_get_function_arguments(p.oid) AS args, (SELECT lanname FROM pg_catalog.pg_language WHERE oid = prolang) FROM pg_catalog.pg_proc p WHERE p.oid = $1;
EXECUTE dump_function('16500');
SELECT a.attrelid, a.attname, a.attstattarget, array_to_string(a.attoptions, ', '), pg_catalog.array_to_string(ARRAY(SELECT pg_catalog.quote_ident(option_name) || ' ' || pg_catalog.quote_literal(option_value) FROM pg_catalog.pg_options_to_table(attfdwoptions) ORDER BY option_name), E',\n    ')
FROM unnest('{16400,16410}'::pg_catalog.oid[]) AS src(tbloid) JOIN pg_catalog.pg_attribute a ON (src.tbloid = a.attrelid) LEFT JOIN pg_catalog.pg_type t ON (a.atttypid = t.oid) WHERE a.attnum > 0::pg_catalog.int2 ORDER BY a.attrelid, a.attnum;
SELECT t.oid, s.subname, l.label, tr.trffromsql, g.rngsubtype, agg.aggtransfn, pt.partstrat FROM pg_catalog.pg_subscription s, pg_catalog.pg_seclabels l, pg_catalog.pg_transform tr, pg_catalog.pg_range g, pg_catalog.pg_aggregate agg, pg_catalog.pg_partitioned_table pt JOIN pg_catalog.pg_type t ON true
WHERE t.oid = 1 AND s.oid = 1 AND l.objoid = 1 AND tr.oid = 1 AND g.rngtypid = 1 AND agg.aggfnoid = 1 AND pt.partrelid = 1;
SELECT pg_catalog.pg_get_functiondef('16500'), array_remove(array_remove(c.reloptions, 'check_option=local'), 'check_option=cascaded') FROM pg_catalog.pg_class c;
SELECT 'CREATE', d.refobjid, da.defaclacl FROM pg_catalog.pg_depend d, pg_catalog.pg_default_acl da WHERE deptype <> 'p' AND deptype <> 'e' ORDER BY 1, 2;
COMMIT;
-- JDBC
SET extra_float_digits = 3;
SET application_name = 'PostgreSQL JDBC Driver';
SHOW TRANSACTION ISOLATION LEVEL;
SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME, (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME, information_schema._pg_expandarray(i.indkey) AS KEYS, a.attnum AS A_ATTNUM
FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid) JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid) JOIN pg_catalog.pg_index i ON (a.attrelid = i.indrelid) JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) WHERE i.indisprimary;
SELECT pkn.nspname, con.conname, pos.n FROM pg_catalog.pg_namespace pkn, pg_catalog.pg_class pkc, pg_catalog.pg_attribute pka, pg_catalog.pg_constraint con, pg_catalog.generate_series(1, 32) pos(n) WHERE pkn.oid = pkc.relnamespace AND pkc.oid = pka.attrelid AND pka.attnum = con.confkey[pos.n] AND con.confrelid = pkc.oid AND con.contype = 'f';
SELECT * FROM (SELECT n.nspname, c.relname, a.attname, a.atttypid, a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS attnotnull, row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS attnum, nullif(a.attidentity, '') AS attidentity, dsc.description, t.typbasetype
 FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid) JOIN pg_catalog.pg_attribute a ON (a.attrelid = c.oid) JOIN pg_catalog.pg_type t ON (a.atttypid = t.oid) LEFT JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid)) c WHERE true AND attname LIKE '%';
SELECT string_agg(word, ',') FROM pg_catalog.pg_get_keywords() WHERE word <> ALL ('{a,abs}'::text[]);
SELECT e.typdelim FROM pg_catalog.pg_type t, pg_catalog.pg_type e WHERE t.oid = 1009 AND t.typelem = e.oid;
SELECT typinput = 'pg_catalog.array_in'::regproc AS is_array, typtype, typname, pg_type.oid FROM pg_catalog.pg_type LEFT JOIN (SELECT ns.oid AS nspoid, ns.nspname, r.r FROM pg_namespace AS ns JOIN (SELECT s.r, (current_schemas(false))[s.r] AS nspname FROM generate_series(1, array_upper(current_schemas(false), 1)) AS s(r)) AS r USING (nspname)) AS sp ON sp.nspoid = typnamespace WHERE typname = 'jsonb' ORDER BY sp.r, pg_type.oid DESC LIMIT 1;
-- DBeaver
SELECT db.oid, db.* FROM pg_catalog.pg_database db WHERE 1 = 1 AND datallowconn AND NOT datistemplate;
SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass ORDER BY nspname;
SELECT i.*, i.indkey AS keys, c.relname, pg_catalog.pg_get_expr(i.indpred, i.indrelid, true) AS pred_expr, pg_catalog.pg_relation_size(i.indexrelid) AS index_rel_size, pg_catalog.pg_stat_get_numscans(i.indexrelid) AS index_num_scans FROM pg_catalog.pg_index i INNER JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1;
SELECT (pg_identify_object('pg_proc'::regclass, aggfnoid, 0)).identity, aggtransfn::regproc, aggsortop::regoper, agginitval FROM pg_aggregate WHERE aggfnoid = $1;
SELECT concat(c.conname, ' ', pg_catalog.pg_get_constraintdef(oid, true)) FROM pg_catalog.pg_constraint c WHERE c.contypid = 1;
SELECT c.oid, c.*, t.relname AS tabrelname, d.description FROM pg_catalog.pg_constraint c INNER JOIN pg_catalog.pg_class t ON t.oid = c.conrelid LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid;
SELECT * FROM pg_catalog.pg_enum;
SELECT name, default_version, installed_version, comment FROM pg_catalog.pg_available_extensions ORDER BY name;
SELECT current_schema(), session_user;
SHOW search_path;
-- Prisma, TypeORM, Sequelize, Drizzle
SELECT namespace.nspname AS namespace_name FROM pg_namespace AS namespace WHERE namespace.nspname = ANY ($1) ORDER BY namespace_name;
WITH raw AS (SELECT indrelid, indexrelid, indisunique, unnest(indkey) AS key_id, generate_subscripts(indkey, 1) AS key_at, unnest(indclass) AS opclass, unnest(indoption) AS option FROM pg_index WHERE indpred IS NULL AND NOT indisexclusion)
SELECT s.nspname, x.relname, raw.key_at, o.opcname, CASE raw.option & 1 WHEN 1 THEN 'DESC' ELSE 'ASC' END FROM raw JOIN pg_class t ON t.oid = raw.indrelid JOIN pg_class x ON x.oid = raw.indexrelid JOIN pg_namespace s ON s.oid = t.relnamespace LEFT JOIN pg_opclass o ON o.oid = raw.opclass WHERE s.nspname = ANY ($1) ORDER BY 1, 2, 3;
SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1), version(), current_setting('server_version_num')::integer AS numeric_version;
SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity, pg_get_serial_sequence('"' || table_schema || '"."' || table_name || '"', column_name) FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'orders' ORDER BY ordinal_position;
SELECT tc.constraint_name, kcu.column_name, ccu.table_name FROM information_schema.table_constraints tc JOIN information_schema.key_column_usage kcu USING (constraint_name) JOIN information_schema.constraint_column_usage ccu ON ccu.constraint_name = tc.constraint_name WHERE constraint_type = 'FOREIGN KEY';
SELECT policyname, roles, qual FROM pg_policies; SELECT schemaname, sequencename FROM pg_sequences;
SELECT i.relname AS name, ix.indisprimary, array_agg(a.attnum) AS indkey, array_agg(a.attname), pg_get_indexdef(ix.indexrelid) AS definition FROM pg_class t, pg_class i, pg_index ix, pg_attribute a WHERE t.oid = ix.indrelid AND i.oid = ix.indexrelid AND a.attrelid = t.oid AND t.relkind = 'r' GROUP BY i.relname, ix.indexrelid, ix.indisprimary, ix.indkey ORDER BY i.relname;
-- SQLAlchemy, Django, Rails
SELECT pg_catalog.pg_attribute.attname AS name, pg_catalog.format_type(pg_catalog.pg_attribute.atttypid, pg_catalog.pg_attribute.atttypmod) AS format_type, (SELECT json_build_object('always', pg_catalog.pg_attribute.attidentity = 'a', 'start', pg_catalog.pg_sequence.seqstart) FROM pg_catalog.pg_sequence
 WHERE pg_catalog.pg_attribute.attidentity <> '' AND pg_catalog.pg_sequence.seqrelid = CAST(CAST(pg_catalog.pg_get_serial_sequence(CAST(CAST(pg_catalog.pg_attribute.attrelid AS REGCLASS) AS TEXT), pg_catalog.pg_attribute.attname) AS REGCLASS) AS OID)) AS identity_options
FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_attribute ON pg_catalog.pg_class.oid = pg_catalog.pg_attribute.attrelid WHERE pg_catalog.pg_class.relname IN ('orders');
SELECT attr.conrelid, array_agg(CAST(attr.attname AS TEXT) ORDER BY attr.ord) AS cols, attr.conname, min(attr.description), bool_and(attr.ok) FROM (SELECT con.conrelid, con.conname, con.ord, con.description, true AS ok, a.attname FROM pg_catalog.pg_attribute a JOIN (SELECT c.conrelid, c.conname, unnest(c.conkey) AS attnum, generate_subscripts(c.conkey, 1) AS ord, d.description
 FROM pg_catalog.pg_constraint c LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid WHERE c.contype = 'p') con ON a.attnum = con.attnum AND a.attrelid = con.conrelid) attr GROUP BY attr.conrelid, attr.conname ORDER BY attr.conrelid, attr.conname;
SELECT t.typname, pg_catalog.format_type(t.typbasetype, t.typtypmod), t.oid FROM pg_catalog.pg_type t WHERE t.oid = to_regtype('hstore') OR t.typtype = 'd';
SELECT a.attname, pg_get_expr(d.adbin, d.adrelid), substring(pg_get_expr(d.adbin, d.adrelid) FROM 'x'), replace(a.attname, '"', ''), strpos(a.attname, '.'), overlay('a' PLACING 'b' FROM 1), count(*) OVER () FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attrelid = '"orders"'::regclass;
SET client_min_messages TO warning;
SET standard_conforming_strings = on;
SET SESSION timezone TO 'UTC';
SET intervalstyle = iso_8601;
SET client_encoding TO 'utf-8';
