import fs from 'node:fs';
import module, { createRequire } from 'node:module';

module.enableCompileCache('/tmp/perfrig/cc');
const require = createRequire(import.meta.url);
const g = () => {
  const s = fs.readFileSync('/proc/self/smaps_rollup', 'utf8');
  return [
    Number(/^Rss:\s+(\d+)/m.exec(s)[1]) / 1024,
    Number(/^Private_Dirty:\s+(\d+)/m.exec(s)[1]) / 1024,
    process.memoryUsage().heapUsed / 1048576,
  ];
};
for (const m of process.argv.slice(2)) {
  const b = g();
  require(m);
  await new Promise((r) => setTimeout(r, 300));
  const a = g();
  console.log(m, a.map((x, i) => (x - b[i]).toFixed(1)).join(' '));
}
module.flushCompileCache();
