-- The database and its two roles; may be run again at any time, and is to be run again after `gatebell db upgrade`:
--   sudo -u postgres psql -f roles.sql
-- gatebell_owner owns the tables and runs migrations. gatebell is what web, ingest, jobs and the backup are: it reads
-- and writes rows and can neither change a table nor empty one. A stolen password of the pages drops nothing.
\set ON_ERROR_STOP on

SELECT format('CREATE ROLE %I LOGIN', name)
  FROM unnest(ARRAY['gatebell_owner', 'gatebell']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE gatebell_owner NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE gatebell NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

SELECT 'CREATE DATABASE gatebell OWNER gatebell_owner ENCODING ''UTF8'' LOCALE ''C.UTF-8'' TEMPLATE template0'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'gatebell') \gexec
REVOKE ALL ON DATABASE gatebell FROM PUBLIC;
GRANT CONNECT ON DATABASE gatebell TO gatebell;

\connect gatebell
ALTER SCHEMA public OWNER TO gatebell_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO gatebell;
ALTER DEFAULT PRIVILEGES FOR ROLE gatebell_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO gatebell;
ALTER DEFAULT PRIVILEGES FOR ROLE gatebell_owner IN SCHEMA public
    GRANT SELECT, USAGE ON SEQUENCES TO gatebell;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO gatebell;
GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA public TO gatebell;

-- Who looked at whom is added to and never changed; the version of the tables is the owner's.
SELECT format('REVOKE UPDATE ON %I FROM gatebell', name)
  FROM unnest(ARRAY['audit_entry']) AS name WHERE to_regclass(name) IS NOT NULL \gexec
SELECT format('REVOKE INSERT, UPDATE, DELETE ON %I FROM gatebell', name)
  FROM unnest(ARRAY['alembic_version']) AS name WHERE to_regclass(name) IS NOT NULL \gexec
