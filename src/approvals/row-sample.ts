/** A few of the rows that a held statement is about, masked and cut short; or why there are none to show, in words for the approver. */
export type RowSample =
  | {
      readonly columns: readonly string[];
      readonly rows: readonly (readonly (string | null)[])[];
      readonly none: null;
    }
  | { readonly columns: null; readonly rows: null; readonly none: string };
