/** `npm run soak [-- --minutes N]`: see docs/performance.md. Exits with 1 if the soak fails. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { asJson, SAMPLE_HEAD, sampleLine, summary } from './report.ts';
import { soak } from './soak.ts';

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error(`--minutes takes a number above 0, not "${values.minutes}".`);
  process.exit(2);
}

console.log(SAMPLE_HEAD);
const outcome = await soak({
  seconds: Math.ceil(minutes * 60),
  sampleSeconds: 5,
  onSample: (sample) => console.log(sampleLine(sample)),
});
const directory = join(import.meta.dirname, '../../var/soak');
mkdirSync(directory, { recursive: true });
const file = join(directory, `soak-${outcome.at.replaceAll(/[-:]|\.\d+/g, '')}.json`);
writeFileSync(file, asJson(outcome));
console.log(`\n${summary(outcome)}\n\nSamples: ${relative(process.cwd(), file)}`);
process.exitCode = outcome.failures.length === 0 ? 0 : 1;
