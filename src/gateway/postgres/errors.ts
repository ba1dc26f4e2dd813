import { type ErrorFields, encodeErrorResponse } from '../../../protocols/postgres/backend.ts';
import type { Refusal } from '../refusal.ts';

/** The ErrorResponse of a refused statement. */
export function refusalResponse(refusal: Refusal): Buffer {
  const { code, message, detail, hint } = refusal;
  return encodeErrorResponse({ severity: 'ERROR', severityNonLocalized: 'ERROR', code, message, detail, hint });
}

/** What is left of a server's error whose words may quote masked values: that it happened, and of what class it is. */
export function withheldError({ severity, severityNonLocalized, code }: ErrorFields): Buffer {
  return encodeErrorResponse({
    severity,
    ...(severityNonLocalized !== undefined && { severityNonLocalized }),
    code,
    message:
      'The statement failed; the words of the server are withheld, because they can quote values that are masked.',
    hint: `SQLSTATE ${code} says of what class the error is.`,
  });
}

/** The fields of an error that ends the session. */
export function fatal(code: string, message: string): ErrorFields {
  return { severity: 'FATAL', severityNonLocalized: 'FATAL', code, message };
}
