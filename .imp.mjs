import fs from 'node:fs';
import module from 'node:module';
import v8 from 'node:v8';

module.enableCompileCache('/tmp/perfrig/cc');
v8.setFlagsFromString('--semi-space-growth-factor=1');
const g = () => {
  globalThis.gc?.();
  const s = fs.readFileSync('/proc/self/smaps_rollup', 'utf8');
  return [
    Number(/^Rss:\s+(\d+)/m.exec(s)[1]) / 1024,
    Number(/^Private_Dirty:\s+(\d+)/m.exec(s)[1]) / 1024,
    process.memoryUsage().heapUsed / 1048576,
  ];
};
let b = g();
const show = (n) => {
  const a = g();
  console.log(
    n.padEnd(30),
    a.map((x, i) => (x - b[i]).toFixed(1)).join('  '),
    '   total',
    a.map((x) => x.toFixed(1)).join(' '),
  );
  b = a;
};
show('base');
for (const m of process.argv.slice(2)) {
  await import(m);
  await new Promise((r) => setTimeout(r, 200));
  show(m);
}
module.flushCompileCache();
