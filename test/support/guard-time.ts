/** The one limit of time that tests give to what they wait for. */

/**
 * It ends what would never end, and judges nothing: it is far above what anything takes on a machine that is slow and
 * busy, so that no test fails for its speed. A file of tests has a limit of its own, of 40 minutes (run-file.ts).
 */
export const GUARD_MS = 600_000;
