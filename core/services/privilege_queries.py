"""What the catalogs say about privileges, for privileges.py to judge. Any login may ask it.

`roles` are the groups and whoever is inside them, `owner` is the owner's group.
"""

from typing import Final

# Every grant to one of our roles or to PUBLIC: (kind, object, grantee, privilege, grantable).
ACLS: Final = """
WITH ours AS (SELECT oid, rolname FROM pg_roles WHERE rolname = ANY (%(roles)s)
        UNION ALL SELECT 0, 'PUBLIC'),
    acls (kind, object, acl) AS (
        SELECT 'table', c.relname, coalesce(c.relacl, acldefault('r', c.relowner)) FROM pg_class c
            WHERE c.relnamespace = 'flagctl'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p')
        UNION ALL SELECT 'sequence', c.relname, coalesce(c.relacl, acldefault('s', c.relowner))
            FROM pg_class c
            WHERE c.relnamespace = 'flagctl'::regnamespace AND c.relkind = 'S'
        UNION ALL SELECT 'relation', c.oid::regclass::text, c.relacl FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname NOT IN ('flagctl', 'pg_catalog', 'information_schema', 'pg_toast')
        UNION ALL SELECT 'column', c.relname || '.' || a.attname, a.attacl
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            WHERE c.relnamespace = 'flagctl'::regnamespace AND NOT a.attisdropped
        UNION ALL SELECT 'function', regexp_replace(p.oid::regprocedure::text, '^flagctl\\.', ''),
            coalesce(p.proacl, acldefault('f', p.proowner)) FROM pg_proc p
            WHERE p.pronamespace = 'flagctl'::regnamespace
        UNION ALL SELECT 'built-in function', p.oid::regprocedure::text,
            coalesce(p.proacl, acldefault('f', p.proowner)) FROM pg_proc p
            WHERE p.pronamespace = 'pg_catalog'::regnamespace AND (p.proname LIKE 'lo\\_%%'
                OR p.proname IN ('loread', 'lowrite', 'pg_logical_emit_message')
                OR p.proname LIKE 'pg\\_%%advisory%%')
        UNION ALL SELECT 'schema', n.nspname, coalesce(n.nspacl, acldefault('n', n.nspowner))
            FROM pg_namespace n WHERE n.nspname NOT LIKE 'pg\\_%%'
                AND n.nspname <> 'information_schema'
        UNION ALL SELECT 'database', d.datname, coalesce(d.datacl, acldefault('d', d.datdba))
            FROM pg_database d WHERE d.datname = current_database()
        UNION ALL SELECT 'default privileges', concat(r.rolname, ' on ', CASE a.defaclobjtype
                    WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                    WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END,
                ' in ' || n.nspname), a.defaclacl
            FROM pg_default_acl a JOIN pg_roles r ON r.oid = a.defaclrole
                LEFT JOIN pg_namespace n ON n.oid = a.defaclnamespace
        -- No entry: everybody may call the owner's next function.
        UNION ALL SELECT 'default privileges', r.rolname || ' on FUNCTIONS', acldefault('f', r.oid)
            FROM pg_roles r WHERE r.rolname = %(owner)s AND NOT EXISTS (SELECT FROM pg_default_acl a
                WHERE a.defaclrole = r.oid AND a.defaclobjtype = 'f' AND a.defaclnamespace = 0)
        UNION ALL SELECT 'parameter', p.parname, p.paracl FROM pg_parameter_acl p
        UNION ALL SELECT 'large object', l.oid::text, l.lomacl FROM pg_largeobject_metadata l
        UNION ALL SELECT 'foreign server', s.srvname, s.srvacl FROM pg_foreign_server s
        UNION ALL SELECT 'tablespace', t.spcname, t.spcacl FROM pg_tablespace t)
SELECT a.kind, a.object, o.rolname, e.privilege_type, e.is_grantable
FROM acls a CROSS JOIN LATERAL aclexplode(a.acl) e JOIN ours o ON o.oid = e.grantee
"""
# What a new database has granted already, in pg_catalog and by default: only more is too much.
SINCE_INITIALIZED: Final = """
WITH ours AS (SELECT oid, rolname FROM pg_roles WHERE rolname = ANY (%(roles)s)
        UNION ALL SELECT 0, 'PUBLIC'),
    acls (kind, object, acl, at_first) AS (
        SELECT 'relation', c.oid::regclass::text, c.relacl, i.initprivs
            FROM pg_class c LEFT JOIN pg_init_privs i
                ON i.objoid = c.oid AND i.classoid = 'pg_class'::regclass AND i.objsubid = 0
            WHERE c.relnamespace = 'pg_catalog'::regnamespace
        UNION ALL SELECT 'column', concat(c.oid::regclass, '.', a.attname), a.attacl, i.initprivs
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_init_privs i
                ON i.objoid = c.oid AND i.classoid = 'pg_class'::regclass AND i.objsubid = a.attnum
            WHERE c.relnamespace <> 'flagctl'::regnamespace AND a.attacl IS NOT NULL
        UNION ALL SELECT 'built-in function', p.oid::regprocedure::text, p.proacl,
                coalesce(i.initprivs, acldefault('f', p.proowner))
            FROM pg_proc p LEFT JOIN pg_init_privs i
                ON i.objoid = p.oid AND i.classoid = 'pg_proc'::regclass
            WHERE p.pronamespace = 'pg_catalog'::regnamespace
        UNION ALL SELECT 'type', t.oid::regtype::text, t.typacl, acldefault('T', t.typowner)
            FROM pg_type t
        UNION ALL SELECT 'language', l.lanname, l.lanacl, acldefault('l', l.lanowner)
            FROM pg_language l
        UNION ALL SELECT 'foreign data wrapper', w.fdwname, w.fdwacl, NULL
            FROM pg_foreign_data_wrapper w)
SELECT a.kind, a.object, o.rolname, e.privilege_type, e.is_grantable
FROM acls a CROSS JOIN LATERAL aclexplode(a.acl) e JOIN ours o ON o.oid = e.grantee
WHERE NOT EXISTS (SELECT FROM aclexplode(a.at_first) f
    WHERE f.grantee = e.grantee AND f.privilege_type = e.privilege_type)
"""
# What a group or a login owns, besides the owner: it may do anything with that.
OWNED: Final = """
SELECT r.rolname, pg_describe_object(d.classid, d.objid, 0) FROM pg_shdepend d
    JOIN pg_roles r ON r.oid = d.refobjid
WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND r.rolname = ANY (%(roles)s)
    AND NOT pg_has_role(r.oid, to_regrole(quote_ident(%(owner)s)), 'MEMBER')
    AND (d.dbid = 0 OR d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()))
    -- Those have lines of their own.
    AND NOT (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT oid FROM pg_class
        WHERE relnamespace = 'flagctl'::regnamespace AND relkind = 'r'))
    AND NOT (d.classid = 'pg_proc'::regclass AND d.objid IN (SELECT oid FROM pg_proc
        WHERE pronamespace = 'flagctl'::regnamespace))
"""
SETTINGS: Final = """
SELECT r.rolname, d.datname, unnest(s.setconfig) FROM pg_db_role_setting s
    LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
WHERE (s.setrole = 0 OR r.rolname = ANY (%(roles)s))
    AND (s.setdatabase = 0 OR d.datname = current_database())
"""
ROLES: Final = """
WITH RECURSIVE ours AS (SELECT oid FROM pg_roles WHERE rolname = ANY (%(groups)s)
    UNION SELECT m.member FROM pg_auth_members m JOIN ours ON ours.oid = m.roleid)
SELECT r.rolname, r.rolcanlogin, array_remove(ARRAY[
        CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
        CASE WHEN r.rolreplication THEN 'REPLICATION' END,
        CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL),
    ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
        WHERE m.member = r.oid ORDER BY 1),
    ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
        WHERE m.member = r.oid AND m.admin_option ORDER BY 1)
FROM pg_roles r JOIN ours ON ours.oid = r.oid ORDER BY 1
"""
TABLES: Final = """
SELECT c.relname, c.relrowsecurity, pg_get_userbyid(c.relowner),
    ARRAY(SELECT t.tgname::text FROM pg_trigger t
        WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'O'),
    ARRAY(SELECT w.rulename::text FROM pg_rewrite w WHERE w.ev_class = c.oid)
FROM pg_class c WHERE c.relnamespace = 'flagctl'::regnamespace AND c.relkind = 'r' ORDER BY 1
"""
FUNCTIONS: Final = """
SELECT p.oid::regprocedure::text, pg_get_userbyid(p.proowner),
    NOT p.prosecdef OR EXISTS (SELECT FROM unnest(p.proconfig) s
        WHERE s = 'search_path=pg_catalog, pg_temp')
FROM pg_proc p WHERE p.pronamespace = 'flagctl'::regnamespace ORDER BY 1
"""
POLICIES: Final = """
SELECT tablename, policyname, cmd, roles::text[], permissive, qual, with_check
FROM pg_policies WHERE schemaname = 'flagctl'
"""
