/** Where in a trace something happened; from https://www.w3.org/TR/trace-context/. */
export interface TraceContext {
  /** 32 hexadecimal digits in lower case, as {@link spanId} is of 16. */
  readonly traceId: string;
  /** Of the caller's span. */
  readonly spanId: string;
  /** True if the caller records its trace. */
  readonly sampled: boolean;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Reads a `traceparent`; `null` if it is none. Of a version to come, what version 00 has is read, as the specification wants. */
export function traceparentOf(value: unknown): TraceContext | null {
  const match = typeof value === 'string' && value.length <= 500 ? TRACEPARENT.exec(value.trim()) : null;
  if (match === null) return null;
  const [, version, traceId, spanId, flags, rest] = match;
  if (version === 'ff' || (version === '00' && rest !== undefined)) return null;
  if (/^0+$/.test(traceId!) || /^0+$/.test(spanId!)) return null;
  return { traceId: traceId!, spanId: spanId!, sampled: (Number.parseInt(flags!, 16) & 1) === 1 };
}
