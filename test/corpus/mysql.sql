-- The clinic that test/corpus/mysql.jsonl is about; MariaDB 10.11 and later, MySQL 8 and later.
-- CREATE DATABASE clinic; CREATE DATABASE billing
-- Masked: patients(email, ssn, phone), staff(salary, iban), api_keys(secret).
-- Statements end in a line of two dollars.

CREATE TABLE wards (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, beds INT NOT NULL DEFAULT 10) ENGINE=InnoDB
$$
INSERT INTO wards VALUES (1, 'North', 12), (2, 'South', 8), (3, 'Drop-in', 4)
$$
CREATE TABLE patients (
  id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, email VARCHAR(80) UNIQUE, ssn VARCHAR(20), phone VARCHAR(20),
  ward_id INT, notes VARCHAR(200), born DATE NOT NULL, profile JSON, FOREIGN KEY (ward_id) REFERENCES wards (id)
) ENGINE=InnoDB
$$
INSERT INTO patients VALUES
 (1, 'Ida', 'ida@clinic.test', '910-01-0001', '+1-202-555-0101', 1, 'allergic to nuts', '1980-01-01', '{"a": 1}'),
 (2, 'Jon', 'jon@clinic.test', '910-01-0002', '+1-202-555-0102', 1, NULL, '1990-02-02', NULL)
$$
CREATE TABLE visits (
  id INT PRIMARY KEY, patient_id INT NOT NULL, at DATETIME NOT NULL, status VARCHAR(10) NOT NULL DEFAULT 'planned',
  cost DECIMAL(10, 2) NOT NULL DEFAULT 0, comment VARCHAR(200), `delete` BOOLEAN NOT NULL DEFAULT 0,
  FOREIGN KEY (patient_id) REFERENCES patients (id)
) ENGINE=InnoDB
$$
INSERT INTO visits (id, patient_id, at, status, cost, comment) VALUES
 (1, 1, '2026-01-01 10:00', 'planned', 10, 'visit 1'), (2, 2, '2026-01-02 10:00', 'done', 20, 'visit 2')
$$
CREATE TABLE visit_items (visit_id INT, line INT, code VARCHAR(10) NOT NULL, amount INT NOT NULL DEFAULT 1, PRIMARY KEY (visit_id, line)) ENGINE=InnoDB
$$
CREATE TABLE staff (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, role VARCHAR(20) NOT NULL, salary DECIMAL(12, 2), iban VARCHAR(40), boss_id INT) ENGINE=InnoDB
$$
CREATE TABLE api_keys (id INT PRIMARY KEY, label VARCHAR(20), secret VARCHAR(60) NOT NULL) ENGINE=InnoDB
$$
CREATE TABLE settings (`key` VARCHAR(40) PRIMARY KEY, value VARCHAR(100)) ENGINE=InnoDB
$$
CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, line VARCHAR(200)) ENGINE=InnoDB
$$
CREATE TABLE billing.patients (id INT PRIMARY KEY, remark VARCHAR(100)) ENGINE=InnoDB
$$
CREATE VIEW contacts AS SELECT id, name, email AS address FROM patients
$$
CREATE VIEW directory AS SELECT p.id, p.name, w.name AS ward FROM patients p JOIN wards w ON w.id = p.ward_id
$$
CREATE VIEW ward_load AS SELECT ward_id, COUNT(*) AS patients FROM patients GROUP BY ward_id
$$
CREATE FUNCTION with_tax(x DECIMAL(10, 2)) RETURNS DECIMAL(10, 2) DETERMINISTIC NO SQL RETURN x * 1.2
$$
CREATE FUNCTION discharge(p INT) RETURNS INT MODIFIES SQL DATA BEGIN DELETE FROM visits WHERE patient_id = p; RETURN p; END
$$
CREATE PROCEDURE tidy() BEGIN DELETE FROM visits; END
$$
CREATE TABLE guardians (
  id INT PRIMARY KEY, patient_id INT NOT NULL, name VARCHAR(40) NOT NULL, phone VARCHAR(20),
  phone_tail VARCHAR(20) AS (RIGHT(phone, 4)) VIRTUAL, kin ENUM('parent', 'other') NOT NULL DEFAULT 'other',
  FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE CASCADE
) ENGINE=InnoDB
$$
INSERT INTO guardians (id, patient_id, name, phone) VALUES (1, 1, 'Kim', '+1-202-555-0103')
$$
CREATE TABLE charges (id INT NOT NULL, patient_id INT NOT NULL, amount DECIMAL(10, 2) NOT NULL, due DATE NOT NULL) ENGINE=InnoDB
 PARTITION BY RANGE COLUMNS (due) (PARTITION p2025 VALUES LESS THAN ('2026-01-01'), PARTITION pmax VALUES LESS THAN (MAXVALUE))
$$
CREATE TABLE intake (id INT PRIMARY KEY, note VARCHAR(100)) ENGINE=InnoDB
$$
CREATE TRIGGER intake_added AFTER INSERT ON intake FOR EACH ROW DELETE FROM visit_items
$$
CREATE TRIGGER staff_changed BEFORE UPDATE ON staff FOR EACH ROW INSERT INTO log (line) VALUES (CONCAT('salary was ', OLD.salary))
$$
CREATE ALGORITHM=TEMPTABLE VIEW contacts_copy AS SELECT id, phone AS number FROM patients
$$
CREATE VIEW contact_numbers AS SELECT id, number AS ref FROM contacts_copy
$$
CREATE FUNCTION patient_ssn(p INT) RETURNS VARCHAR(20) READS SQL DATA RETURN (SELECT ssn FROM patients WHERE id = p)
$$
CREATE PROCEDURE list_patients() READS SQL DATA BEGIN SELECT * FROM patients; END
$$
CREATE PROCEDURE run_text(q TEXT) BEGIN SET @q = q; PREPARE s FROM @q; EXECUTE s; DEALLOCATE PREPARE s; END
$$
