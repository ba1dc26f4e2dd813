import { parentPort } from 'node:worker_threads';
import type { TextFacts } from '../facts.ts';
import { PostgresParser } from './parser.ts';
import { analyseText } from './text-facts.ts';

/** The thread behind long-texts.ts: posts `null` when it can take texts, then the facts of each text it is sent. */

const parser = await PostgresParser.create();
parentPort!.on('message', (text: string) => {
  parentPort!.postMessage(analyseText(parser, text).facts satisfies TextFacts);
});
parentPort!.postMessage(null);
