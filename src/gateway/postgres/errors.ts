import { type ErrorFields, encodeErrorResponse } from '../../../protocols/postgres/backend.ts';
import type { Refusal } from '../refusal.ts';

/** The ErrorResponse of a refused statement. */
export function refusalResponse(refusal: Refusal): Buffer {
  const { code, message, detail, hint } = refusal;
  return encodeErrorResponse({ severity: 'ERROR', severityNonLocalized: 'ERROR', code, message, detail, hint });
}

/** The fields of an error that ends the session. */
export function fatal(code: string, message: string): ErrorFields {
  return { severity: 'FATAL', severityNonLocalized: 'FATAL', code, message };
}
