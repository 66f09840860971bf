// @neon/sdk's helpers that make something and wait until it can be used.
import { createNeonClient } from "@neon/sdk";

const neon = createNeonClient({
  apiKey: process.env.NEON_API_KEY,
  baseUrl: process.env.NEON_API_HOST,
  throwOnError: true,
});
const made = await neon.projects.createAndConnect({ name: "from the sdk", pooled: false });
const project = made.project.id;
const branch = await neon.branches.createAndConnect({ projectId: project, name: "dev", pooled: false });
console.log(JSON.stringify({
  project,
  uri: made.connectionString,
  branch: branch.branch?.id,
  branchUri: branch.connectionString,
}));
