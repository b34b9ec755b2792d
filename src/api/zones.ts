/** The availability zones of a region. secgroupd has no places, so there are three, by the names that AWS uses. */

export interface Zone {
  /** `us-east-1a` */
  readonly name: string;
  /** `use1-az1` */
  readonly id: string;
}

const LETTERS = ['a', 'b', 'c'];

export function zonesOf(region: string): readonly Zone[] {
  return LETTERS.map((letter, i) => ({
    name: `${region}${letter}`,
    id: `${shortName(region)}-az${i + 1}`,
  }));
}

/** `us-east-1` → `use1`, `ap-southeast-2` → `apse2`, as AWS shortens them. */
function shortName(region: string): string {
  return region
    .split('-')
    .map((word, i) => {
      if (i === 0 || /^\d+$/.test(word)) return word;
      const compound = /^(north|south)(east|west)$/.exec(word);
      return compound === null ? (word === 'gov' ? 'g' : word[0]) : compound[1][0] + compound[2][0];
    })
    .join('');
}
