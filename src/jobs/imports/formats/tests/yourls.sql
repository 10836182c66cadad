-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)
/*!40101 SET NAMES utf8mb4 */;
# INSERT INTO `yourls_url` VALUES ('commented','https://acme.example/',NULL,'','',0);

DROP TABLE IF EXISTS `yourls_url`;
CREATE TABLE `yourls_url` (
  `keyword` varchar(100) COLLATE utf8mb4_bin NOT NULL DEFAULT '',
  `url` text COLLATE utf8mb4_bin NOT NULL,
  `title` text,
  `timestamp` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  `ip` varchar(41) NOT NULL,
  `clicks` int unsigned NOT NULL,
  PRIMARY KEY (`keyword`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

INSERT INTO `yourls_options` VALUES (1,'version','1.9.2'),(2,'INSERT INTO `yourls_url` VALUES (1)','x');
LOCK TABLES `yourls_url` WRITE;
/* the links */
INSERT INTO `yourls_url` VALUES
('spring','https://acme.example/?a=1&b=(2),;','It\'s "spring" \\ at\nlast -- ''no'' comment','2024-03-01 10:00:00','192.0.2.1',7),
('quote',"https://acme.example/it's",NULL,'2024-03-01 10:00:00','192.0.2.1',0),
('short','https://acme.example/');
UNLOCK TABLES;
insert ignore into yourls_url (`url`, `keyword`) values
('https://acme.example/other', 'other');
