import { language } from '../lib/i18n';
import type { AdminText } from './text-admin-en';

/** The texts of this page alone, which other pages don't load. */
export const a: AdminText = language === 'zh' ? (await import('./text-admin-zh')).zh : (await import('./text-admin-en')).en;

/** The language for the browser's own formats. */
export const TAG = language === 'zh' ? 'zh-CN' : 'en';
