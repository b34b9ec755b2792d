/** This file is a choice of one name out of several. */
import { shownShort } from '../logic/shown.ts';

export function Select({
  label,
  all,
  values,
  titles,
  chosen,
  choose,
}: {
  readonly label: string;
  /** The words for no choice, which is the empty text; absent: one has to be chosen. */
  readonly all?: string;
  readonly values: readonly string[];
  /** What is shown for a value, where that is not the value itself. */
  readonly titles?: ReadonlyMap<string, string>;
  readonly chosen: string;
  readonly choose: (value: string) => void;
}) {
  return (
    <label class="select">
      <span class="select-label">{label}</span>
      <select value={chosen} onChange={(event) => choose(event.currentTarget.value)}>
        {all !== undefined && <option value="">{all}</option>}
        {values.map((value) => (
          <option key={value} value={value}>
            {shownShort(titles?.get(value) ?? value)}
          </option>
        ))}
      </select>
    </label>
  );
}
