/** What a long step of making or removing a lab says of itself, for whoever wants to show it. */

/** Called often: whoever shows it decides how often somebody wants to read. */
export type Progress = (text: string) => void;

export const NO_PROGRESS: Progress = () => undefined;
