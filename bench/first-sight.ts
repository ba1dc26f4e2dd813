/** What Sluice does with a statement, without any connection: decode, parse, analyse, decide; and the same text met again. */
import path from 'node:path';
import { loadRules } from '../src/policy/load.ts';
import { PostgresAnalyzer } from '../src/statements/postgres/analyzer.ts';
import type { FirstSight } from './outcome.ts';

const LEXING = { standardConformingStrings: true };
const SUBJECT = {
  identity: { subject: 'bench', kind: 'agent', groups: [] },
  connection: 'bench',
  default: 'allow',
} as const;

/**
 * Texts of about the sizes the budgets are for. `n` is in an identifier: literals are what a cache may look
 * past, names never, so each `n` is a text never seen before.
 */
const TEXTS: readonly { readonly bytes: number; readonly count: number; text(n: string): string }[] = [
  { bytes: 57, count: 500, text: (n) => `SELECT abalance FROM pgbench_accounts_${n} WHERE aid = $1` },
  {
    bytes: 380,
    count: 300,
    text: (n) => `SELECT o.id, o.placed_at, c.name, c.email, sum(l.quantity * l.unit_price) AS total
FROM orders_${n} o JOIN customers c ON c.id = o.customer_id LEFT JOIN order_lines l ON l.order_id = o.id
WHERE o.placed_at >= now() - interval '30 days' AND o.status IN ('paid', 'shipped') AND c.country = $1
GROUP BY o.id, o.placed_at, c.name, c.email HAVING sum(l.quantity) > 3 ORDER BY total DESC LIMIT 50`,
  },
  { bytes: 2900, count: 150, text: report },
];

/** How many distinct texts of each size warm the code up first. */
const WARM_UP = 100;

/**
 * Microseconds for each size. Throws if a text is not of the size it stands for, if the analyser finds it opaque, or if the
 * rules refuse it: then it would not be the work of an allowed statement that is measured.
 */
export async function measureFirstSight(): Promise<FirstSight[]> {
  const rules = await loadRules([path.join(import.meta.dirname, '../rules/destructive.yaml')]);
  const analyzer = await PostgresAnalyzer.create();
  // From bytes, as they come from a client: a string seen before would have its hash at hand.
  const decide = (text: Buffer): void => {
    const facts = analyzer.analyze(text.toString('utf8'), LEXING);
    if (facts instanceof Promise) throw new Error(`${text.length} B were left to a worker thread`);
    for (const statement of facts.statements) {
      const verdict = rules.decide(statement, SUBJECT);
      if (verdict.action !== 'allow') throw new Error(`${statement.kind} was refused: ${verdict.message}`);
    }
  };
  const timed = (work: () => void): number => {
    const started = process.hrtime.bigint();
    work();
    return Number(process.hrtime.bigint() - started) / 1000;
  };
  try {
    return TEXTS.map(({ bytes, count, text }) => {
      const texts = Array.from({ length: WARM_UP + count }, (_, index) =>
        Buffer.from(text(String(index).padStart(4, '0'))),
      );
      const [sample] = texts as [Buffer, ...Buffer[]];
      if (Math.abs(sample.length - bytes) > bytes * 0.03) {
        throw new Error(`the text for ${bytes} B has ${sample.length} B`);
      }
      for (const warmUp of texts.slice(0, WARM_UP)) decide(warmUp);
      const first = texts.slice(WARM_UP).map((unseen) => timed(() => decide(unseen)));
      // Many at a time: one look-up is shorter than what reading the clock costs.
      const again = Array.from({ length: 50 }, () => {
        const thousand = timed(() => {
          for (let index = 0; index < 1000; index++) decide(sample);
        });
        return thousand / 1000;
      });
      return { bytes, first, again };
    });
  } finally {
    await analyzer.close();
  }
}

/** A report as tools generate them: two common table expressions, many expressions, joins and windows. */
function report(n: string): string {
  const columns = Array.from({ length: 15 }, (_, index) => {
    const amount = `sum(CASE WHEN l.category = ${index} AND l.cancelled_at IS NULL THEN l.quantity * l.unit_price ELSE 0 END)`;
    return `  coalesce(${amount}, 0) AS category_${index}_total`;
  });
  return `WITH recent AS (
  SELECT o.id, o.customer_id, o.placed_at, o.region FROM orders_${n} o
  WHERE o.placed_at >= date_trunc('month', now()) - interval '12 months' AND o.status NOT IN ('draft', 'cancelled')
), ranked AS (
  SELECT r.*, row_number() OVER (PARTITION BY r.customer_id ORDER BY r.placed_at DESC) AS position
  FROM recent r JOIN customers c ON c.id = r.customer_id WHERE c.country = ANY ($1) AND c.closed_at IS NULL
)
SELECT date_trunc('week', k.placed_at) AS week, k.region, count(DISTINCT k.customer_id) AS customers,
${columns.join(',\n')}
FROM ranked k JOIN order_lines l ON l.order_id = k.id LEFT JOIN shipments s ON s.order_id = k.id
WHERE k.position <= 10 AND (s.delivered_at IS NULL OR s.delivered_at > k.placed_at)
  AND EXISTS (SELECT 1 FROM payments p WHERE p.order_id = k.id AND p.settled)
GROUP BY date_trunc('week', k.placed_at), k.region HAVING count(*) > 5 ORDER BY week DESC, k.region LIMIT 500`;
}
