import { workerData } from 'node:worker_threads';
import { readLongTexts } from '../long-text-thread.ts';
import type { KnownFunctions } from './functions.ts';
import type { MysqlLexingState, MysqlServer } from './server.ts';
import { analyseText } from './text-facts.ts';

/** What a MysqlAnalyzer sends with a text. */
export interface LongTextContext {
  readonly server: MysqlServer;
  readonly state: MysqlLexingState;
}

/** The thread of a MysqlAnalyzer. */

const known = workerData as KnownFunctions;

readLongTexts<LongTextContext>((text, context, catalogue) => analyseText(text, { ...context, catalogue, known }));
