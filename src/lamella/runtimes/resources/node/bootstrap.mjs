// Starts AWS's runtime client where its package leaves that to others (its versions before 4).
import { run } from './index.mjs';

await run(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER);
