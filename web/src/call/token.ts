import { pagePath } from '../lib/base';
import { store, stored } from '../lib/dom';

const TOKEN_KEY = 'castway.call-token';

/** The query without a token, and the token. */
function split(query: string): { kept: string; token: string | null } {
  const isToken = (pair: string) => new URLSearchParams(pair).has('token');
  const pairs = query.replace(/^\?/, '').split('&');
  const kept = pairs.filter((pair) => !isToken(pair)).join('&');
  const [own] = pairs.filter(isToken);
  return { kept: kept && `?${kept}`, token: own === undefined ? null : new URLSearchParams(own).get('token') };
}

/** This page's query as it was opened. */
export const openedQuery = location.search;

/** What the operator's server asks of callers. This tab remembers it for a reload and for other rooms; nobody can copy it out of the address. */
const token = (() => {
  const { kept, token } = split(location.search);
  if (token === null) return stored<string>('sessionStorage', TOKEN_KEY);
  store('sessionStorage', TOKEN_KEY, token);
  history.replaceState(history.state, '', `${pagePath()}${kept}${location.hash}`);
  return token;
})();

/** The query of a join. */
export function joinQuery(): string {
  if (typeof token !== 'string' || !token) return location.search;
  return `${location.search}${location.search ? '&' : '?'}token=${encodeURIComponent(token)}`;
}
