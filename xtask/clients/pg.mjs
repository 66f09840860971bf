// node-postgres, with the string as it is printed. It verifies certificates: NODE_EXTRA_CA_CERTS names the authority.
import pg from "pg";

const client = new pg.Client({ connectionString: process.env.DATABASE_URI });
await client.connect();
await client.query("INSERT INTO agents (name) VALUES ($1)", ["from node-postgres"]);
const { rows } = await client.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
console.log(JSON.stringify(rows[0]));
await client.end();
