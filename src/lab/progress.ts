/** Reports the progress of a long step in making or removing a lab. */

/** Called often. The receiver decides how often to show it. */
export type Progress = (text: string) => void;

export const NO_PROGRESS: Progress = () => undefined;
