/** `npm run soak [-- [postgres|mysql] [--minutes N]]`: see docs/performance.md. Exits with 1 if the soak fails. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { mysqlLoad } from './mysql-load.ts';
import { postgresLoad } from './postgres-load.ts';
import { asJson, SAMPLE_HEAD, sampleLine, summary } from './report.ts';
import type { Sample } from './sampling.ts';
import { soak } from './soak.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string', default: '10' } },
});
const [protocol = 'postgres', ...further] = positionals;
if (!['postgres', 'mysql'].includes(protocol) || further.length > 0) {
  console.error(`There is no soak ${positionals.join(' ')}; there are postgres and mysql.`);
  process.exit(2);
}
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error(`--minutes takes a number above 0, not "${values.minutes}".`);
  process.exit(2);
}

console.log(SAMPLE_HEAD);
const options = {
  seconds: Math.ceil(minutes * 60),
  sampleSeconds: 5,
  onSample: (sample: Sample) => console.log(sampleLine(sample)),
};
const outcome =
  protocol === 'mysql' ? await soak(await mysqlLoad(), options) : await soak(await postgresLoad(), options);
const directory = join(import.meta.dirname, '../../var/soak');
mkdirSync(directory, { recursive: true });
const file = join(directory, `soak-${protocol}-${outcome.at.replaceAll(/[-:]|\.\d+/g, '')}.json`);
writeFileSync(file, asJson(outcome));
console.log(`\n${summary(outcome)}\n\nSamples: ${relative(process.cwd(), file)}`);
process.exitCode = outcome.failures.length === 0 ? 0 : 1;
