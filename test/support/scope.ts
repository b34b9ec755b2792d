/** Something that ends, and with it what was made for it: a test, or the run of a script. */
export interface Scope {
  after(end: () => unknown): void;
}
