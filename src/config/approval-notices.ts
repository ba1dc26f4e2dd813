/** What channels are told of requests for approval. */
export const NOTICES = [
  'approval.requested',
  'approval.estimated',
  'approval.voted',
  'approval.break_glass',
  'approval.decided',
  'approval.expired',
  'approval.withdrawn',
  'approval.collected',
] as const;

export type Notice = (typeof NOTICES)[number];
