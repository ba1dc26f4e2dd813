/**
 * What records leave out of statements: nothing; values of masked columns, what detectors find, passwords, and the literals
 * of texts that cannot be read; or every literal and every bind.
 */
export const REDACTIONS = ['none', 'secrets', 'all-literals'] as const;
export type Redaction = (typeof REDACTIONS)[number];
