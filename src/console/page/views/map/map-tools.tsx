/** These are the tools above the map: picture or table, and which group or VPC. */
import { useMemo } from 'preact/hooks';
import type { MapView } from '../../../contract.ts';
import { choicesOf, type MapChoice } from '../../logic/map-choice.ts';
import { formatNumberOf } from '../../logic/format.ts';
import { Select } from '../../parts/select.tsx';

export type MapForm = 'picture' | 'table';

interface ToolsProperties {
  readonly map: MapView;
  readonly form: MapForm;
  readonly setForm: (form: MapForm) => void;
  readonly choice: MapChoice;
  readonly setChoice: (choice: MapChoice) => void;
  /** How many nodes the filter finds; undefined: there is no filter. */
  readonly found: number | undefined;
  readonly count: number;
}

export function MapTools(properties: ToolsProperties) {
  const { map, form, setForm, choice, setChoice, found, count } = properties;
  const { groups, vpcs } = useMemo(() => choicesOf(map.nodes), [map]);
  return (
    <div class="tools">
      <div class="switch" role="group" aria-label="Form of the map">
        {(['picture', 'table'] as const).map((one) => (
          <button key={one} type="button" aria-pressed={form === one} onClick={() => setForm(one)}>
            {one === 'picture' ? 'Picture' : 'Table'}
          </button>
        ))}
      </div>
      <Select
        label="Group"
        all="all groups"
        values={groups}
        chosen={choice.group}
        choose={(group) => setChoice({ ...choice, group })}
      />
      {vpcs.length > 0 && (
        <Select
          label="VPC"
          all="all VPCs"
          values={vpcs}
          chosen={choice.vpc}
          choose={(vpc) => setChoice({ ...choice, vpc })}
        />
      )}
      <p class="muted tools-note" role="status">
        {found === undefined ? formatNumberOf(count, 'node') : `${found} of ${count} found`}
      </p>
    </div>
  );
}
