// The peer of the queue's measurement: graphile-worker on the same Postgres. Prints one line of JSON.
const { EventEmitter } = require("node:events");
const { Logger, makeWorkerUtils, run } = require("graphile-worker");
const { Pool } = require("pg");

const [mode, connectionString, count, concurrency] = process.argv.slice(2);
const total = Number(count);
const pgPool = new Pool({ connectionString, max: 48 });
const logger = new Logger(() => () => {});
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// How many are done and written down as done, and who waits for them.
let done = 0;
let waiting = null;

const events = new EventEmitter();
events.on("job:complete", () => {
  done += 1;
  if (waiting && done >= waiting.count) waiting.resolve();
});

async function working(task) {
  const step = async (payload, helpers) => {
    task(payload);
    await helpers.withPgClient((client) => client.query("SELECT 1 AS one"));
  };
  return run({
    pgPool,
    logger,
    events,
    concurrency: Number(concurrency),
    pollInterval: 100,
    noHandleSignals: true,
    taskList: { step },
  });
}

// Whoever is measured has done one before: starting is nobody's speed.
async function warmed(runner) {
  await runner.addJob("step", { at: Date.now() });
  await all(1);
  done = 0;
}

// Until so many are done.
function all(count) {
  return new Promise((resolve) => {
    waiting = { count, resolve };
    if (done >= count) resolve();
  });
}

const modes = {
  // What is queued all at once is done, as fast as it can be.
  async drain() {
    const fill = "SELECT graphile_worker.add_job('step', json_build_object('n', n)) FROM generate_series(1, $1) n";
    let begun = null;
    const runner = await working(() => (begun ??= performance.now()));
    await warmed(runner);
    begun = null;
    await pgPool.query(fill, [total]);
    await all(total);
    const seconds = (performance.now() - begun) / 1000;
    await runner.stop();
    return { seconds };
  },
  // Eight producers queue one after the other, each waiting until it is stored, while a worker does them.
  async one() {
    const runner = await working(() => {});
    await warmed(runner);
    const begun = performance.now();
    let left = total;
    const producer = async () => {
      while (left-- > 0) await runner.addJob("step", {});
    };
    await Promise.all(Array.from({ length: 8 }, producer));
    await all(total);
    const seconds = (performance.now() - begun) / 1000;
    await runner.stop();
    return { seconds };
  },
  // 200 a second for as long as it takes; from before they are queued to their start.
  async pace() {
    const waits = [];
    const runner = await working((payload) => waits.push(Date.now() - payload.at));
    await warmed(runner);
    waits.length = 0;
    const begun = performance.now();
    const queued = [];
    for (let n = 0; n < total; n += 1) {
      const due = begun + n * 5;
      const early = due - performance.now();
      if (early > 0) await pause(early);
      queued.push(runner.addJob("step", { at: Date.now() }));
    }
    await Promise.all(queued);
    await all(total);
    await runner.stop();
    return { waits };
  },
};

async function main() {
  const utils = await makeWorkerUtils({ pgPool, logger });
  await utils.migrate();
  const found = await modes[mode]();
  await utils.release();
  await pgPool.end();
  console.log(JSON.stringify(found));
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
