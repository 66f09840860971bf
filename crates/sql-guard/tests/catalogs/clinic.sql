-- An animal clinic with everything that a guard can stumble over. Its catalog is in clinic.json; the list of allowed
-- tables is all of public but `secrets`, and all of billing. Nothing of staff is allowed.
create extension citext; create extension hstore; create extension ltree; create extension pg_trgm;
create extension pgcrypto; create extension tablefunc; create extension unaccent; create extension postgres_fdw;
create schema billing; create schema staff;

create type public.species as enum ('dog', 'cat', 'bird');
create domain public.weight as numeric(6,2);
create domain public.percent as int check (value between 0 and 100);
create domain public.blank_percent as public.percent;
create type public.address as (street text, city text);
create type public.token as (v text);
create type public.reverse as (a text);
create type public.span as range (subtype = float8);

create table public.owners (id int primary key, name text not null, email citext, home public.address, born date,
    active boolean, tags text[], extra jsonb, labels hstore);
create table public.pets (id int primary key, owner_id int references owners, name text, species public.species,
    weight public.weight, born date, notes text, path ltree, chip uuid, rating public.percent);
create table public.visits (id bigint not null, pet_id int, at timestamptz not null, reason text, cost numeric(10,2),
    paid boolean, status text, "order" int) partition by range (at);
create table public.visits_2025 partition of visits for values from ('2025-01-01') to ('2026-01-01');
create table public.visits_2026 partition of visits for values from ('2026-01-01') to ('2027-01-01');
create table public.lab (id int, report xml, sent text, ip inet, result tsvector, during tstzrange);
create table public.devices (id int, t public.token);
create table public.secrets (id int, key text);
create table public."Waiting List" (id int, "Pet Name" text, "select" int);
create table public.documents (id int, title text);
create table staff.contracts (salary numeric) inherits (public.documents);
create table public.notes (id int, body text);
create table public.notes_old () inherits (public.notes);
create table billing.invoices (id int primary key, visit_id bigint, amount numeric(10,2), issued date);
create table billing.payments (id int primary key, invoice_id int references billing.invoices, amount numeric(10,2), at timestamptz);
create table staff.vets (id int primary key, name text);
create table staff.wages (vet_id int references staff.vets, amount numeric);
create sequence public.ticket;
create server other foreign data wrapper postgres_fdw options (host '127.0.0.1', dbname 'other');
create foreign table public.rates (currency text, rate numeric) server other;

create function public.log_visit(int) returns int language sql volatile as 'select nextval(''public.ticket'')::int';
create function public.slugify(text) returns text language sql immutable as 'select lower($1)';
create function public.full_name(public.owners) returns text language sql stable as 'select ($1).name';
create function public.status(public.pets) returns text language sql stable as 'select ''fine''::text';
create function public.upper(int) returns text language sql volatile as 'select public.log_visit($1)::text';
create function public.json_object(int) returns text language sql volatile as 'select public.log_visit($1)::text';
create function staff.lower(text) returns text language sql volatile as 'select $1';
create function staff.everybody() returns setof staff.vets language sql security definer as 'select * from staff.vets';
create function public.any_value(text) returns text language sql volatile as 'select $1';
create procedure public.trim_scale(int) language sql as 'select 1';
create function public.grow(numeric, numeric) returns numeric language sql volatile as 'select $1 + public.log_visit(1)';
create aggregate public.total(numeric) (sfunc = public.grow, stype = numeric, initcond = '0');
create function public.compare(text, text) returns int language sql volatile as 'select public.log_visit(1)';
create operator public.<=> (leftarg = text, rightarg = text, function = public.compare);
create function public.near(int, int) returns boolean language sql volatile as 'select public.log_visit(1) > 0';
create operator public.@@ (leftarg = int, rightarg = int, function = public.near);
create function public.address_text(public.address) returns text language sql volatile as 'select ($1).city';
create cast (public.address as text) with function public.address_text(public.address);
create function public.token_text(public.token) returns text language sql volatile as 'select ($1).v';
create cast (public.token as text) with function public.token_text(public.token) as implicit;

create view public.recent_visits as select v.id, p.name, v.at, v.cost::float8 as cost from visits v join pets p on p.id = v.pet_id
    where v.at > now() - interval '30 days';
create view public.pet_species as select distinct species::text as species, upper(name) as name from pets;
create view public.vet_names as select id, name from staff.vets;
create view public.income as with m as (select date_trunc('month', at) as month, sum(amount) as amount from billing.payments group by 1)
    select m.month, m.amount, rank() over (order by m.amount desc) from m;
create view public.logged as select log_visit(1) as n;
create view public.over_logged as select n + 1 as n from public.logged;
create view public.odd_operator as select 'a' <=> 'b' as n;
create view public.sizes as select relname::text, reltuples from pg_class where relkind = 'r';
create view public.mine as select * from pets where name = current_user;
create view public.settings as select current_setting('app.tenant', true) as tenant;
create view public.slugs as select slugify(name) as slug from owners;
create view staff.payroll as select v.name, w.amount from staff.vets v join staff.wages w on w.vet_id = v.id;
create materialized view public.monthly as select date_trunc('month', at) as month, log_visit(1) as n from visits;

-- Roles are the server's, and outlive a database that was dropped.
do $$ begin
    if not exists (select from pg_roles where rolname = 'clinic_reader') then
        create role clinic_reader;
    end if;
end $$;
grant usage on schema public, billing, staff to clinic_reader;
grant select on all tables in schema public, billing, staff to clinic_reader;
