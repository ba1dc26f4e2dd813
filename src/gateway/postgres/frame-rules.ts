import { BACKEND } from '../../../protocols/postgres/backend.ts';
import type { FrameRules } from '../../../protocols/postgres/framing.ts';
import { FRONTEND } from '../../../protocols/postgres/frontend.ts';

/** PQ_SMALL_MESSAGE_LIMIT and PQ_LARGE_MESSAGE_LIMIT of the server, bytes. */
const SMALL = 10_000;
const LARGE = 0x3fffffff;
/** The most that is read whole from an upstream, bytes. */
const LARGEST_WHOLE = 16 * 1024 * 1024;

/**
 * Messages a client may send in a session, and how long: the server's own limits, except for those that carry text or
 * values and are read whole.
 */
export function frontendRules(messageBytes: number): FrameRules {
  const { query, parse, bind, functionCall, copyData, password, ...small } = FRONTEND;
  const largest = new Int32Array(256);
  for (const type of Object.values(small)) largest[type] = SMALL;
  for (const type of [query, parse, bind, functionCall]) largest[type] = messageBytes;
  largest[copyData] = LARGE;
  largest[password] = 0;
  const streamed = new Uint8Array(256);
  streamed[copyData] = 1;
  return { largest, streamed };
}

/** Messages an upstream may send in a session. What Sluice has to read is read whole; everything else passes in pieces. */
export const BACKEND_RULES: FrameRules = (() => {
  const largest = new Int32Array(256);
  const streamed = new Uint8Array(256).fill(1);
  for (const type of Object.values(BACKEND)) largest[type] = LARGE;
  // Only of the start-up phase, or of something no client of ours can have begun.
  const { authentication, backendKeyData, negotiateProtocolVersion, copyBothResponse } = BACKEND;
  for (const type of [authentication, backendKeyData, negotiateProtocolVersion, copyBothResponse]) {
    largest[type] = 0;
  }
  const { errorResponse, commandComplete, parameterStatus, readyForQuery } = BACKEND;
  const { parameterDescription, rowDescription, copyOutResponse, notificationResponse } = BACKEND;
  for (const type of [
    ...[errorResponse, commandComplete, parameterStatus, readyForQuery],
    ...[parameterDescription, rowDescription, copyOutResponse, notificationResponse],
  ]) {
    largest[type] = LARGEST_WHOLE;
    streamed[type] = 0;
  }
  return { largest, streamed };
})();
